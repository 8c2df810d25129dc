"""Pictures that a script draws, so that it knows what is in them: lines of text, captchas, pages."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom."""
LETTERS = string.ascii_letters + string.digits
WORDS = (
    "river", "stone", "light", "paper", "table", "green", "morning", "window", "garden", "number", "silver",
    "answer", "letter", "market", "bridge", "summer", "winter", "station", "people", "between", "another",
    "change", "system", "second", "minute", "little", "water", "music", "corner", "simple", "forest",
)  # fmt: skip


@dataclass(frozen=True)
class DrawnText:
    """A picture, and each text in it with its box in pixels."""

    picture: Image.Image
    texts: tuple[tuple[str, PixelBox], ...]


def words(random: np.random.Generator, count: int) -> str:
    """Some words, now and then a number."""
    found = [
        str(random.choice(WORDS)) if random.random() < 0.8 else str(random.integers(0, 9999)) for _ in range(count)
    ]
    return " ".join(found)


def line(text: str, random: np.random.Generator, height: int = 48) -> Image.Image:
    """A line of text, dark on a light ground, as wide as it needs."""
    font = ImageFont.load_default(int(height * random.uniform(0.5, 0.7)))
    left, top, right, bottom = font.getbbox(text)
    edge = int(height * 0.15)
    picture = Image.new("RGB", (int(right - left) + 2 * edge, height), _light(random))
    at = (edge - left, (height - (bottom - top)) // 2 - top)
    ImageDraw.Draw(picture).text(at, text, font=font, fill=_dark(random))
    return _noisy(picture, random, 6)


def captcha(text: str, random: np.random.Generator, size: tuple[int, int]) -> DrawnText:
    """Letters, each turned and in a colour of its own, with lines and specks over them."""
    width, height = size
    picture = Image.new("RGB", size, _light(random))
    boxes = []
    step = width / (len(text) + 0.6)
    for place, letter in enumerate(text):
        font = ImageFont.load_default(int(height * random.uniform(0.6, 0.8)))
        cell = Image.new("L", (height, height), 0)
        ImageDraw.Draw(cell).text((height / 2, height / 2), letter, font=font, fill=255, anchor="mm")
        cell = cell.rotate(float(random.uniform(-20, 20)), Image.Resampling.BILINEAR)
        left = round(step * (place + 0.8) - height / 2)
        top = int(random.integers(-2, 3))
        picture.paste(Image.new("RGB", cell.size, _dark(random)), (left, top), cell)
        if box := cell.getbbox():
            boxes.append((letter, (left + box[0], top + box[1], left + box[2], top + box[3])))
    draw = ImageDraw.Draw(picture)
    for _ in range(2):
        ends = [(int(random.integers(0, width)), int(random.integers(0, height))) for _ in range(2)]
        draw.line(ends, fill=_dark(random), width=1)
    return DrawnText(_noisy(picture, random, 8), tuple(boxes))


def page(random: np.random.Generator, size: tuple[int, int], ground: Image.Image | None = None) -> DrawnText:
    """Some lines of text on a page, or on a picture; their boxes are exact."""
    picture = ground.copy() if ground else Image.new("RGB", size, _light(random))
    draw, found, top = ImageDraw.Draw(picture), [], int(random.integers(5, 20))
    while top < size[1] - 40:
        height = int(random.integers(14, 30))
        text, font = words(random, int(random.integers(1, 5))), ImageFont.load_default(height)
        left = int(random.integers(4, size[0] // 3))
        box = draw.textbbox((left, top), text, font=font)
        if box[2] < size[0] - 2 and box[3] < size[1] - 2:
            draw.text((left, top), text, font=font, fill=_dark(random))
            found.append((text, _whole(box)))
        top += int(height * random.uniform(1.4, 2.6))
    return DrawnText(_noisy(picture, random, 4), tuple(found))


def cover(ground: Image.Image, random: np.random.Generator) -> DrawnText:
    """A picture with a white field in it, as books have on their back: a bar code under their ISBN."""
    picture, wide = ground.copy(), int(ground.width * random.uniform(0.45, 0.8))
    high = int(wide * random.uniform(0.45, 0.6))
    left, top = int(random.integers(0, picture.width - wide)), int(random.integers(0, picture.height - high))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(max(12, wide // 15))
    draw.rectangle((left, top, left + wide, top + high), fill=(250, 250, 250))
    digits = "".join(map(str, random.integers(0, 10, 9)))
    draw.text(
        (left + wide / 2, top + 4), f"ISBN 978-{digits[0]}-{digits[1:5]}-{digits[5:]}-1", font=font, fill=0, anchor="ma"
    )
    at, end = left + wide * 0.08, left + wide * 0.92
    while at < end:
        bar = float(random.uniform(1, 5))
        draw.rectangle((at, top + high * 0.25, at + bar / 2, top + high * 0.85), fill=0)
        at += bar + 1
    draw.text((left + wide / 2, top + high - 2), f"978{digits}1", font=font, fill=0, anchor="md")
    return DrawnText(_noisy(picture, random, 4), ((digits, (left, top, left + wide, top + high)),))


def mask(
    boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """1 in every box, 0 elsewhere: uint8 [height, width]."""
    found = np.zeros((size[1], size[0]), np.uint8)
    for left, top, right, bottom in boxes:
        found[max(0, top) : bottom, max(0, left) : right] = 1
    return found


def _whole(box: tuple[float, float, float, float]) -> PixelBox:
    left, top, right, bottom = (round(side) for side in box)
    return left, top, right, bottom


def _light(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(215, 256, 3))
    return red, green, blue


def _dark(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, 110, 3))
    return red, green, blue


def _noisy(picture: Image.Image, random: np.random.Generator, strength: float) -> Image.Image:
    values = np.asarray(picture, np.float32) + random.normal(0, strength, (picture.height, picture.width, 1))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
