"""Place garments of Fashion-MNIST in frames, and write the samples that this example ships with.

    python -m examples.garments.make_data --source /usr/share/datasets/fashion-mnist

A scene is a grey frame of 96x96 with one to three garments, 24 to 48 pixels large, on a background of soft shades; the
boxes are those of the pixels that were drawn, so they are exact. Scenes of `train` and `calib` are made of the training
pictures of examples/fashion, those of `val` and `test` of its other pictures: no garment is in two splits. The same
source gives the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np
from examples.fashion.make_data import SEED, full_splits
from numpy.typing import NDArray
from PIL import Image

SIDE = 96
LEAST, MOST = 24, 48
"""Pixels of a garment's frame."""
MOST_GARMENTS = 3
TRIES = 20
"""How often a place without much overlap is looked for."""
OVERLAP = 0.1
VISIBLE = 40
"""Grey from which a garment's pixels count as drawn in full."""
STEP = 6
COMMITTED = {"calib": 48, "val": 128, "test": 200}

Scene = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""A frame uint8 [1, 96, 96], and its boxes float32 [boxes, 5]: class, x1, y1, x2, y2 in pixels."""


def scene(x: NDArray[np.uint8], y: NDArray[np.uint8], random: np.random.Generator) -> Scene:
    """Make a scene of garments drawn from uint8 [N, 1, 28, 28] with classes [N]."""
    frame = _background(random)
    boxes: list[list[float]] = []
    for place in random.integers(0, len(x), random.integers(1, MOST_GARMENTS + 1)):
        side = int(random.integers(LEAST, MOST + 1))
        garment = np.asarray(Image.fromarray(x[place, 0]).resize((side, side), Image.Resampling.BILINEAR), np.float32)
        solid = np.minimum(garment / VISIBLE, 1)
        rows, columns = np.flatnonzero((solid > 0.5).any(1)), np.flatnonzero((solid > 0.5).any(0))
        if not len(rows):
            continue
        for _ in range(TRIES):
            left, top = random.integers(0, SIDE - side + 1, 2)
            box = [left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]
            if all(_overlap(box, one[1:]) <= OVERLAP for one in boxes):
                part = frame[top : top + side, left : left + side]
                part += solid * (garment - part)
                boxes.append([float(y[place]), *map(float, box)])
                break
    pixels = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    return pixels[None], np.array(boxes, np.float32).reshape(-1, 5)


def _background(random: np.random.Generator) -> NDArray[np.float32]:
    """Soft shades of grey, 0 to 110, in steps that a zip makes small."""
    coarse = random.integers(0, 111, (3, 3)).astype(np.uint8)
    shades = np.array(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    return np.floor(shades / STEP) * STEP


def _overlap(one: list[float], other: list[float]) -> float:
    """The smaller box's share that lies in both."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(wide, 0) * max(high, 0) / least


def scenes(split: tuple[NDArray[np.uint8], NDArray[np.uint8]], count: int, seed: int) -> list[Scene]:
    """So many scenes of a split's pictures."""
    random = np.random.default_rng(seed)
    return [scene(*split, random) for _ in range(count)]


def main() -> None:
    """Write data.npz beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data.npz")
    args = parser.parse_args()
    splits = full_splits(args.source)
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, (name, count) in enumerate(COMMITTED.items()):
        made = scenes(splits["train" if name == "calib" else name], count, SEED + number)
        arrays[f"x_{name}"] = np.stack([frame for frame, _ in made])
        arrays[f"y_{name}/values"] = np.concatenate([boxes for _, boxes in made])
        arrays[f"y_{name}/lengths"] = np.array([len(boxes) for _, boxes in made], np.int64)
    np.savez_compressed(args.out, **arrays)  # type: ignore[arg-type]
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
