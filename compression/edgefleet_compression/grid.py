"""The grid that stored weights lie on: a few signed levels and one scale for each output channel."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.layer_kinds import LayerKind

Weights = NDArray[np.float32]
Axes = tuple[int, ...]
"""The axes of a weight, rising, that together count its outputs."""
Number = TypeVar("Number", bound=np.generic)

MOST_LEVELS = 127
NEAR = 1e-3
"""How far from a whole number a multiple may be: fp32 rounds by less, a weight off the grid is rarely as near."""


def layer_kind(*, first: bool, rank: int, kernel: int, groups: int) -> LayerKind:
    """The kind of a layer.

    Args:
        first: whether it reads the model's input.
        rank: of its weight; 2 is a linear layer.
        kernel: positions of its kernel, height times width.
        groups: of a convolution.
    """
    if rank == 2:
        return "linear"
    if first:
        return "stem"
    if groups > 1:
        return "depthwise"
    return "pointwise" if kernel == 1 else "dense"


def by_output(values: Weights, axes: Axes) -> Weights:
    """A weight as [outputs, ...], where `axes` of it count outputs together."""
    moved = np.moveaxis(values, axes, range(len(axes)))
    return moved.reshape(-1, *moved.shape[len(axes) :])


def as_stored(rows: NDArray[Number], axes: Axes, shape: Sequence[int]) -> NDArray[Number]:
    """Values [outputs, ...] in the weight's own shape again: what `by_output` moved goes back."""
    rest = [size for axis, size in enumerate(shape) if axis not in axes]
    moved = rows.reshape(*(shape[axis] for axis in axes), *rest)
    return np.ascontiguousarray(np.moveaxis(moved, range(len(axes)), axes))


def to_grid(weights: Weights, bits: int) -> tuple[NDArray[np.int8], Weights]:
    """Integers and scales whose product is near to `weights`; the last level is each channel's largest weight.

    Scales keep 8 significant bits (those of bfloat16): their other bytes are zeros, which cost nothing on the wire.

    Args:
        weights: float32 [outputs, ...].
        bits: 2 to 8; the integers are -L to L with L = 2^(bits - 1) - 1.

    Returns:
        Integers int8 of the weights' shape, and scales float32 [outputs].
    """
    levels = 2 ** (bits - 1) - 1
    rows = weights.reshape(len(weights), -1)
    top = np.abs(rows).max(1)
    top[top == 0] = 1.0
    scales = short(top / np.float32(levels))
    integers = np.clip(np.rint(rows / scales[:, None]), -levels, levels)
    return integers.astype(np.int8).reshape(weights.shape), scales


def find_grid(weights: Weights) -> tuple[NDArray[np.int8], Weights] | None:
    """The smallest integers, and a scale for each channel, of weights that lie on a grid; None where they don't.

    Norms that were folded into the weights have scaled whole channels, each by a factor of its own: what is looked
    for is, channel by channel, the step of which every weight is a whole multiple.

    Args:
        weights: float32 [outputs, ...].

    Returns:
        As `to_grid` does, with integers of at most 127.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    top = np.abs(rows).max(1)
    top[top == 0] = 1.0
    integers = np.zeros(rows.shape, np.int8)
    scales = np.zeros(len(rows), np.float32)
    left = np.arange(len(rows))
    for levels in range(1, MOST_LEVELS + 1):
        multiples = rows[left] / (top[left] / levels)[:, None]
        whole = np.abs(multiples - np.rint(multiples)).max(1) < NEAR
        found = left[whole]
        integers[found], scales[found] = np.rint(multiples[whole]), top[found] / levels
        left = left[~whole]
        if not len(left):
            return integers.reshape(weights.shape), short(scales)
    return None


def short(values: Weights) -> Weights:
    """Round float32 to 8 significant bits, to nearest."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)
