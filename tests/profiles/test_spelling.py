"""A key that nothing knows is told the nearest right one, also deep inside."""

import pytest
from pydantic import BaseModel

from edgefleet_profiles.spelling import nearest, nearest_field


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
