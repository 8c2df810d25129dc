"""Tensors that 8 bits would erase: masks, whose values lie so far from all others that one level holds these."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgefleet_compression.onnx_graphs.activations import LEVELS, Seen


def is_erased(values: NDArray[np.float32], low: float, high: float) -> bool:
    """Whether rounding to 256 levels from `low` to `high` leaves nothing of what distinguishes the values.

    So it is with an infinite value, and where all lie within a level of either end, as scores and -10,000 do.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return True
    exact = values.astype(np.float64)
    level = (float(high) - float(low)) / (LEVELS - 1)
    ends = [exact[exact <= low + level], exact[exact >= high - level]]
    if level == 0 or sum(len(end) for end in ends) < len(exact):
        return False
    return any(len(end) and float(end.max()) > float(end.min()) for end in ends)


def touching_masks(model: onnx.ModelProto, seen: Mapping[str, Seen]) -> list[str]:
    """The names of nodes that read or give such a tensor.

    Args:
        model: a float graph.
        seen: its tensors on samples.
    """
    masks = {name for name, one in seen.items() if is_erased(one.values, one.low, one.high)}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and 0 not in tensor.dims:
            values = numpy_helper.to_array(tensor).reshape(-1)
            if is_erased(values, float(values.min()), float(values.max())):
                masks.add(tensor.name)
    return [node.name for node in model.graph.node if masks.intersection([*node.input, *node.output])]
