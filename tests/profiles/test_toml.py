"""TOML of any origin: whatever is wrong with it is one kind of error."""

import pytest
from tests.deep_toml import UNUSABLE

from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.toml import MAX_DEPTH, parse_toml


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_too_deep_or_too_long_is_refused(kind: str) -> None:
    with pytest.raises(NotToml) as refused:
        parse_toml(UNUSABLE[kind])
    assert len(str(refused.value)) < 100


def test_what_is_just_deep_enough_is_read() -> None:
    assert parse_toml(f"{'a.' * (MAX_DEPTH - 1)}a = 1")
    with pytest.raises(NotToml, match=f"more than {MAX_DEPTH} deep"):
        parse_toml(f"{'a.' * MAX_DEPTH}a = 1")
