"""How much fewer bits in a single layer change the answers of an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from edgefleet_compression.bitwidths import FEWEST, MOST
from edgefleet_compression.grid import to_grid
from edgefleet_compression.judging import Judge
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.graph import saved
from edgefleet_compression.onnx_graphs.losses import loss_between
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.onnx_graphs.weighted_nodes import WeightedNode
from edgefleet_compression.step import Progress

MEASURED = 5
"""Up to so many bits the loss is measured; beyond, it is that of the last by a quarter for each bit: rounding noise
loses a quarter of its power with each, and a small divergence is in proportion to the power."""


def sensitivity(
    model: onnx.ModelProto, layers: Sequence[WeightedNode], asked: Asked, judge: Judge, folder: Path, progress: Progress
) -> dict[str, dict[int, float]]:
    """By weight and bits, the mean loss of the answers with that layer alone rounded.

    Args:
        model: the file; as it was when this returns.
        layers: some of its layers.
        asked: samples.
        judge: the model's task, whose loss it is.
        folder: where to write.
        progress: told how far it is.
    """
    path = folder / "one-rounded.onnx"
    whole = GraphSession(saved(model, path)).answered(asked)
    found: dict[str, dict[int, float]] = {}
    for number, layer in enumerate(layers):
        progress(number / len(layers), f"layer {number + 1} of {len(layers)} alone in few bits")
        kept, losses = layer.values(), {}
        for bits in range(FEWEST, MEASURED + 1):
            integers, scales = to_grid(kept, bits)
            layer.replace(integers * scales.reshape(-1, *[1] * (kept.ndim - 1)))
            rounded = GraphSession(saved(model, path)).answered(asked)
            losses[bits] = loss_between(judge.task.loss, whole, rounded, judge.spec)
        layer.replace(kept)
        found[layer.name] = losses | {b: losses[MEASURED] / 4 ** (b - MEASURED) for b in range(MEASURED + 1, MOST + 1)}
    return found
