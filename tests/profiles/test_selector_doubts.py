"""A label or a value in a selector that nothing has may be a slip: it is told, with what is spelled alike."""

import pytest

from edgefleet_profiles.selector import compile_selector
from edgefleet_profiles.selector_doubts import doubts, known_labels

KNOWN = known_labels(["eu/rpi4/lte", "jp/rpi5/wifi"], [{"site": "oslo"}, {"site": "bergen", "tier": "shop"}])


def test_what_is_known_comes_from_the_catalogue_and_from_devices() -> None:
    assert KNOWN["region"] == {"eu", "jp"} and KNOWN["site"] == {"oslo", "bergen"}
    assert KNOWN["metered"] == {"true"}


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ("region=eu,site notin (oslo),!metered,tier", []),
        ("regoin=eu", ["no device has a label 'regoin': did you mean 'region'?"]),
        ("!meterd", ["no device has a label 'meterd': did you mean 'metered'?"]),
        ("colour=red", ["no device has a label 'colour'"]),
        ("site in (oslo,bergne)", ["no device has site=bergne: did you mean 'bergen'?"]),
        ("region=europe", ["no device has region=europe"]),
    ],
)
def test_each_doubt_is_one_sentence(selector: str, told: list[str]) -> None:
    assert list(doubts(compile_selector(selector), KNOWN)) == told
