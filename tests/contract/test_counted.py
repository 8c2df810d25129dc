"""Numbers of things in words."""

import pytest

from edgefleet_contract.counted import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 devices"), (1, "1 device"), (2, "2 devices"), (20_000, "20,000 devices")]
)
def test_one_thing_is_counted_as_one(number: int, words: str) -> None:
    assert counted(number, "device") == words
