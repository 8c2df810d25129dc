"""The grid that stored weights lie on: a few signed levels and one scale for each output channel."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

LayerKind = Literal["stem", "dense", "depthwise", "pointwise", "linear"]
Weights = NDArray[np.float32]
# Shares of the largest weight that the last level may stand for; 1 first, as weights on the grid then stay.
CLIPS = np.linspace(1.0, 0.6, 21)


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


def to_grid(weights: Weights, bits: int) -> tuple[NDArray[np.int8], Weights]:
    """Integers and scales whose product is nearest to `weights`, by squared error over a few clips.

    Args:
        weights: float32 [outputs, ...].
        bits: 2 to 8; the integers are -L to L with L = 2^(bits - 1) - 1.

    Returns:
        Integers int8 of the weights' shape, and scales float32 [outputs].
    """
    levels = 2 ** (bits - 1) - 1
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    top = np.abs(rows).max(1)
    top[top == 0] = 1.0
    best = np.full(len(rows), np.inf)
    integers, scales = np.zeros_like(rows), np.zeros(len(rows))
    for clip in CLIPS:
        scale = top * clip / levels
        rounded = np.clip(np.rint(rows / scale[:, None]), -levels, levels)
        error = ((rounded * scale[:, None] - rows) ** 2).sum(1)
        better = error < best * (1 - 1e-9)
        best[better], scales[better], integers[better] = error[better], scale[better], rounded[better]
    return integers.astype(np.int8).reshape(weights.shape), scales.astype(np.float32)
