"""Which pictures of scikit-image go into which split: no picture is in two, and colour and grey are alike in each.

Pure, so that both the venv that cuts and the benchmark that reports can import it.
"""

from collections.abc import Sequence
from typing import Literal

PictureSplit = Literal["calib", "val", "test"]

COLOUR = (
    ("astronaut",),
    ("chelsea",),
    ("coffee",),
    ("color",),
    ("hubble_deep_field",),
    ("ihc",),
    ("logo",),
    ("motorcycle_left", "motorcycle_right"),
    ("retina",),
    ("rocket",),
)
GREY = (
    ("brick",),
    ("camera",),
    ("cell",),
    ("clock_motion",),
    ("coins",),
    ("grass",),
    ("gravel",),
    ("horse",),
    ("moon",),
    ("page",),
    ("text",),
)
"""What the package ships, without chessboards, phantom, and what is smaller than a crop; both halves of a stereo pair
are one picture."""

TURNS: tuple[PictureSplit, ...] = ("calib", "test", "val", "test")
CROPS: dict[PictureSplit, int] = {"calib": 264, "val": 300, "test": 1040}


def splits() -> dict[PictureSplit, list[tuple[str, ...]]]:
    """The pictures of each split: by name, in turns, the grey ones and the coloured ones alike."""
    found: dict[PictureSplit, list[tuple[str, ...]]] = {"calib": [], "val": [], "test": []}
    for pictures in (GREY, COLOUR):
        for number, picture in enumerate(pictures):
            found[TURNS[number % len(TURNS)]].append(picture)
    return found


def shares(crops: int, pictures: Sequence[tuple[str, ...]]) -> list[int]:
    """How many crops each picture gives: as many as the others, the first ones one more where that doesn't fit."""
    each, more = divmod(crops, len(pictures))
    return [each + (number < more) for number in range(len(pictures))]
