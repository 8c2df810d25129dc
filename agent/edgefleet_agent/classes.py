"""Triton's classification extension: an output as its best classes, each as "SCORE:INDEX" or "SCORE:INDEX:LABEL". Pure.

See docs/protocol/extension_classification.md of github.com/triton-inference-server/server.
"""

import heapq
import math
import struct
from collections.abc import Sequence
from typing import Any

from edgefleet_protocol.datatypes import BY_NAME


def best_classes(output: dict[str, Any], data: bytes, count: int, labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """The shape and the values of an output that is asked for as classes, the best of each row first.

    Args:
        output: the tensor's datatype and shape; the first of several dimensions counts rows.
        data: its values, little-endian.
        count: how many classes of each row; fewer if there are not as many.
        labels: the labels by class; may be empty.

    Raises:
        ValueError: there is NaN among them, which has no place in an order.
    """
    shape = output["shape"]
    rows = shape[0] if len(shape) > 1 else 1
    classes = math.prod(shape) // max(rows, 1)
    count = min(count, classes)
    values = struct.unpack(f"<{rows * classes}{BY_NAME[output['datatype']].code}", data)
    if math.isnan(sum(values)) and any(map(math.isnan, values)):
        raise ValueError("has NaN, which has no place among classes: ask for its values, as binary data")
    told: list[str] = []
    for row in range(rows):
        scores = values[row * classes : (row + 1) * classes]
        told += [_told(scores[at], at, labels) for at in heapq.nlargest(count, range(classes), key=scores.__getitem__)]
    return ([rows, count] if len(shape) > 1 else [count]), told


def _told(score: float, index: int, labels: Sequence[str]) -> str:
    shown = f"{score:f}" if isinstance(score, float) else str(int(score))
    return f"{shown}:{index}:{labels[index]}" if index < len(labels) else f"{shown}:{index}"
