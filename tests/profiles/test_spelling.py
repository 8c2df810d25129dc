"""A key that nothing knows is told the nearest right one, also deep inside."""

import pytest
from pydantic import BaseModel

from edgefleet_profiles.spelling import nearest, nearest_entry, nearest_field


class Inner(BaseModel):
    soak_s: float = 1
    samples: int = 1


class Other(BaseModel):
    wave_s: float = 1


class Whole(BaseModel):
    name: str
    inner: Inner | None = None
    rows: list[Inner] = []
    either: Inner | Other | None = None


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("nane",), "did you mean 'name'?"),
        (("inner", "soaks"), "did you mean 'soak_s'?"),
        (("rows", 3, "sample"), "did you mean 'samples'?"),
        (("either", "Other", "waves"), "did you mean 'wave_s'?"),
        (("inner", "colour"), "use one of soak_s, samples"),
    ],
)
def test_the_nearest_key_of_the_same_part_is_named(place: tuple[int | str, ...], told: str) -> None:
    assert nearest_field(Whole, place) == told


def test_without_a_near_one_all_are_named() -> None:
    assert nearest("x", ["alpha", "beta"]) == "use one of alpha, beta"


TITLES = {
    "eu": "European Union",
    "in": "India",
    "na": "North America",
    "sa": "South America (Brazil)",
    "lte": "LTE, a Cat 1 modem on a metered plan",
    "rpi4": "Raspberry Pi 4 Model B",
    "rpi5": "Raspberry Pi 5",
}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rpi44", "did you mean rpi4?"),
        ("europe", "did you mean eu?"),
        ("brazil", "did you mean sa?"),
        ("America", "did you mean na or sa?"),
        ("lte-metered", "did you mean lte?"),
        ("raspberry", "did you mean rpi4 or rpi5?"),
    ],
)
def test_a_name_is_told_the_entries_that_are_spelled_or_called_alike(name: str, told: str) -> None:
    assert nearest_entry(name, TITLES) == told


@pytest.mark.parametrize("name", ["us", "ue", "asia", "4g", ""])
def test_a_name_that_is_like_none_is_told_all_there_are_with_their_titles(name: str) -> None:
    told = nearest_entry(name, TITLES)
    assert told.startswith("choose one of eu (European Union), in (India), lte (")
    assert all(one in told for one in TITLES)


def test_a_long_catalogue_is_cut_with_the_number_left_out() -> None:
    assert nearest_entry("x", {f"{n:03}": "-" for n in range(45)}).endswith("039 (-) and 5 more")
