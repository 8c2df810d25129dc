"""Numbers of things in words."""

import pytest

from edgefleet_contract.counted import agreeing, counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 devices"), (1, "1 device"), (2, "2 devices"), (20_000, "20,000 devices")]
)
def test_one_thing_is_counted_as_one(number: int, words: str) -> None:
    assert counted(number, "device") == words


@pytest.mark.parametrize(("number", "verb"), [(0, "are"), (1, "is"), (2, "are")])
def test_a_verb_agrees_with_the_number(number: int, verb: str) -> None:
    assert agreeing(number, "is", "are") == verb
