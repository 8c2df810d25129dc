"""Selectors mean what they mean in Kubernetes, and a wrong one is shown where it is wrong."""

import pytest

from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.errors import SelectorError
from edgefleet_profiles.selector import compile_selector, labels_of

# Region `in` has the name of an operator: it must work as a value and as nothing else.
DEVICE = {"region": "in", "hardware": "rpi4", "link": "lte", "metered": "true", "site": "pune-2"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("   ", True),
        ("region=in", True),
        ("region==in", True),
        ("region=eu", False),
        ("region!=eu", True),
        ("region!=in", False),
        ("floor=3", False),
        ("floor!=3", True),
        ("hardware in (rpi4,rpi5)", True),
        ("hardware in (rpi5)", False),
        ("floor in (3)", False),
        ("hardware notin (rpi5,rpi-zero-2w)", True),
        ("hardware notin (rpi4)", False),
        ("floor notin (3)", True),
        ("metered", True),
        ("!metered", False),
        ("floor", False),
        ("!floor", True),
        ("! floor", True),
        ("region in (in)", True),
        ("region in (in,notin)", True),
        ("in", False),
        ("!in", True),
        ("in in (in)", False),
        ("in notin (in)", True),
        ("region=in,hardware=rpi4", True),
        ("region=in,hardware=rpi5", False),
        ("region = in , hardware in ( rpi4 , rpi5 ) , !floor", True),
        ("region=in,region!=in", False),
        ("site=pune-2", True),
    ],
)
def test_a_selector_matches_as_in_kubernetes(selector: str, matches: bool) -> None:
    assert compile_selector(selector).matches(DEVICE) is matches


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("region == eu", "region=eu"),
        ("region in (eu)", "region=eu"),
        ("region notin (eu)", "region!=eu"),
        ("hardware in ( rpi5,rpi4, rpi5 )", "hardware in (rpi4,rpi5)"),
        ("region=eu,hardware in (rpi4,rpi5),!metered", "hardware in (rpi4,rpi5),!metered,region=eu"),
        ("link,link, link", "link"),
    ],
)
def test_a_selector_has_one_canonical_text(text: str, canonical: str) -> None:
    selector = compile_selector(text)
    assert str(selector) == canonical
    assert compile_selector(canonical) == selector


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("region=", 8, "a value"),
        ("region=,link=lte", 8, "a value"),
        (",region=eu", 1, "a label or '!'"),
        ("region=eu,", 11, "a label or '!'"),
        ("region=eu,,link", 11, "a label or '!'"),
        ("region eu", 8, "'=', '!=', 'in', 'notin', ',' or the end"),
        ("region=eu link=lte", 11, "',' or the end"),
        ("region in eu", 11, r"'\('"),
        ("region in (eu", 14, r"',' or '\)'"),
        ("region in ()", 12, "a value"),
        ("region in (eu,)", 15, "a value"),
        ("!", 2, "a label"),
        ("!region=eu", 8, "',' or the end"),
        ("Region=eu", 1, "a label or '!'"),
        ("region=EU", 8, "a value"),
        ("region===eu", 9, "a value"),
        ("cores>3", 1, "a label or '!'"),
        ("region=" + "x" * 65, 8, "a value"),
    ],
)
def test_a_wrong_selector_says_where_and_what_was_expected(text: str, column: int, expected: str) -> None:
    with pytest.raises(SelectorError, match=rf"column {column}: expected {expected}") as caught:
        compile_selector(text)
    told, shown = str(caught.value).split(", here: ")
    assert "\n" not in told
    before, after = shown.split(">>")
    assert text[: column - 1].endswith(before) and text[column - 1 :].startswith(after)


def test_a_device_carries_the_labels_of_its_profile_and_its_own() -> None:
    catalogue = load_catalogue()
    eu, rpi4 = catalogue.region["eu"], catalogue.hardware["rpi4"]
    assert labels_of(eu, rpi4, catalogue.link["lte"], {"site": "bonn"}) == {
        "region": "eu",
        "hardware": "rpi4",
        "link": "lte",
        "metered": "true",
        "site": "bonn",
    }


def test_an_unmetered_device_has_no_metered_label_whatever_it_claims() -> None:
    catalogue = load_catalogue()
    eu, rpi4, wifi = catalogue.region["eu"], catalogue.hardware["rpi4"], catalogue.link["wifi"]
    labels = labels_of(eu, rpi4, wifi, {"metered": "true", "region": "na"})
    assert labels == {"region": "eu", "hardware": "rpi4", "link": "wifi"}
    assert compile_selector("region=eu,!metered").matches(labels)
