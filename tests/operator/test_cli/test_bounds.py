"""The bounds of a search are read from words."""

import pytest
import typer

from edgefleet_contract.builds import NewConstraints
from edgefleet_operator.cli.bounds import bounds_from


def test_bounds_are_read_from_words() -> None:
    assert bounds_from(["max_drop=0.01", "encoding_bytes=15665"]) == NewConstraints(max_drop=0.01, encoding_bytes=15665)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("max_dorp=1", "no bound 'max_dorp'"), ("max_drop=low", "max_drop=NUMBER"), ("max_drop=1e15", "max_drop")],
)
def test_what_is_no_bound_is_refused_with_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        bounds_from([text])
