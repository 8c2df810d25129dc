"""How the options of `edgefleet data` are written. Pure."""

import math
from collections.abc import Iterable
from typing import Literal

import typer

from edgefleet_compression.models.splits.data import SPLITS, SplitName
from edgefleet_compression.packing.splitting import JUDGED, usual_shares
from edgefleet_profiles.spelling import nearest

PictureAxes = Literal["nhwc", "nchw"]
SoundType = Literal["float32", "int16"]
MOST_PIXELS = 16_384
"""Of a side, as of a model's input."""


def read_shares(text: str | None) -> dict[SplitName, float]:
    """The shares of splits: `calib=20%,val=40%,test=40%`, or 0.2 for 20%; the usual ones for None.

    Raises:
        typer.BadParameter: they are no shares, don't add up, or lack a split that every model needs.
    """
    if text is None:
        return usual_shares()
    found: dict[SplitName, float] = {}
    for part in text.split(","):
        given, _, share = part.strip().partition("=")
        name = next((one for one in SPLITS if one == given), None)
        if name is None:
            raise typer.BadParameter(f"--shares '{part}' is no split with its share: {nearest(given, SPLITS)}")
        if name in found:
            raise typer.BadParameter(f"--shares has {name} twice: give each split once")
        found[name] = _share(part, share)
    if missing := [name for name in JUDGED if name not in found]:
        raise typer.BadParameter(f"--shares has no {missing[0]}: every model needs {', '.join(JUDGED)}")
    if not math.isclose(sum(found.values()), 1, abs_tol=1e-6):
        raise typer.BadParameter(f"--shares add up to {sum(found.values()):.0%}: they must make 100%")
    return found


def read_size(text: str | None) -> tuple[int, int] | None:
    """A size in pixels as (height, width): `224`, or `480x640` for a height of 480.

    Raises:
        typer.BadParameter: it is none.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) <= MOST_PIXELS for side in sides):
        raise typer.BadParameter(
            f"--size '{text}' is no size: write 224, or 480x640 for a height of 480, at most {MOST_PIXELS:,} each"
        )
    return int(sides[0]), int(sides[-1])


def read_types(texts: Iterable[str]) -> tuple[str | None, dict[str, str]]:
    """The type of all numbers, and those of single columns: `float64`, `age=int64`.

    Raises:
        typer.BadParameter: one is given twice.
    """
    of_all: str | None = None
    of_columns: dict[str, str] = {}
    for text in texts:
        column, is_one, told = text.rpartition("=")
        if column in of_columns or (not is_one and of_all is not None):
            raise typer.BadParameter(f"--type gives {column or 'all numbers'} two types: give one")
        if is_one:
            of_columns[column] = told
        else:
            of_all = told
    return of_all, of_columns


def _share(part: str, text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"--shares '{part}' is no share: write 20% or 0.2")
    return share
