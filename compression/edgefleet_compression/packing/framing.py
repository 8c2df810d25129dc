"""Brings pictures to one size, colour and order of axes, and boxes in them to the same pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefleet_compression.onnx_graphs.sent import Colour, Fit
from edgefleet_compression.packing.words import PictureAxes

PAD = 114
"""The grey around a letterboxed picture, as detectors are usually trained with."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What a picture is made into; without a size it keeps its own. The size is (height, width)."""

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    colour: Colour = "rgb"
    axes: PictureAxes = "nhwc"


@dataclass(frozen=True, slots=True)
class FramedPicture:
    """A picture as uint8 [height, width, colours] or [colours, height, width].

    A point (x, y) of the file is at (x * scale[0] + offset[0], y * scale[1] + offset[1]) in it; `size` is its
    (height, width).
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [class, x1, y1, x2, y2] of the file in this picture's pixels; what lies outside is cut off."""
        found = boxes.copy()
        for first, axis, most in ((1, 0, self.size[1]), (2, 1, self.size[0])):
            corners = boxes[:, first::2] * self.scale[axis] + self.offset[axis]
            found[:, first::2] = np.clip(corners, 0, most)
        return found[(found[:, 3] > found[:, 1]) & (found[:, 4] > found[:, 2])]


def framed(picture: Image.Image, framing: Framing) -> FramedPicture:
    """Make a picture what the framing says; shrinking takes the mean of all pixels that fall together."""
    picture = picture.convert("L" if framing.colour == "grey" else "RGB")
    scale, offset = (1.0, 1.0), (0.0, 0.0)
    if framing.size is not None:
        picture, scale, offset = _fitted(picture, framing.size, framing.fit)
    pixels: NDArray[Any] = np.asarray(picture)
    pixels = pixels[:, :, None] if framing.colour == "grey" else pixels
    if framing.colour == "bgr":
        pixels = pixels[:, :, ::-1]
    if framing.axes == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return FramedPicture(np.ascontiguousarray(pixels), (picture.height, picture.width), scale, offset)


def _fitted(
    picture: Image.Image, size: tuple[int, int], fit: Fit
) -> tuple[Image.Image, tuple[float, float], tuple[float, float]]:
    """A picture at a size, by how much it was scaled, and by how much it was moved."""
    (height, width), (wide, high) = size, picture.size
    bilinear = Image.Resampling.BILINEAR
    if fit == "stretch":
        return picture.resize((width, height), bilinear), (width / wide, height / high), (0.0, 0.0)
    if fit == "crop":
        scale = max(width / wide, height / high)
        left, top = (wide - width / scale) / 2, (high - height / scale) / 2
        box = (left, top, left + width / scale, top + height / scale)
        # Rounding may put a side a hair outside the picture, which Pillow refuses.
        inside = (max(box[0], 0), max(box[1], 0), min(box[2], wide), min(box[3], high))
        return picture.resize((width, height), bilinear, inside), (scale, scale), (-left * scale, -top * scale)
    scale = min(width / wide, height / high)
    inner = (max(round(wide * scale), 1), max(round(high * scale), 1))
    place = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    canvas = Image.new(picture.mode, (width, height), PAD if picture.mode == "L" else (PAD, PAD, PAD))
    canvas.paste(picture.resize(inner, bilinear), place)
    return canvas, (inner[0] / wide, inner[1] / high), (float(place[0]), float(place[1]))
