"""How many samples a graph is asked at once: as many as fit, by the bytes that one of them takes on its way.

Measured on a model of 68 kB that takes 96x96 pictures, 250 of them: 250 at once take 1,269 MB and 2.1 s, 64 take 422 MB
and 1.7 s, 8 take 62 MB and 1.0 s. More than a cache holds is never faster.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgefleet_compression.onnx_graphs.graph import nodes, saved, subgraphs
from edgefleet_compression.onnx_graphs.options import one_thread

MOST_BYTES = 32 * 2**20
"""Of all that the samples of a batch take at the same time."""


def fitting(sample_bytes: int, most: int) -> int:
    """How many samples of so many bytes make a batch: at least one, at most `most`."""
    return max(1, min(most, MOST_BYTES // max(1, sample_bytes)))


def watched(model: onnx.ModelProto, names: list[str], folder: Path) -> Any:
    """A session that gives these tensors of a graph, on one thread."""
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    del watching.graph.output[:]
    watching.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    path = str(saved(watching, folder / "watched.onnx"))
    return onnxruntime.InferenceSession(path, one_thread(), providers=["CPUExecutionProvider"])


def given_by(model: onnx.ModelProto) -> list[str]:
    """The names of all that nodes give, without those of graphs within them."""
    return [name for node in model.graph.node for name in node.output if name]


def sizes(model: onnx.ModelProto, sample: NDArray[Any]) -> dict[str, int]:
    """The bytes of each tensor that a node gives for one sample [1, ...], by running it once."""
    names = given_by(model)
    with tempfile.TemporaryDirectory(prefix="edgefleet-watched-") as folder:
        answers = watched(model, names, Path(folder)).run(names, {model.graph.input[0].name: sample})
    return {n: a.nbytes for n, a in zip(names, answers, strict=True) if isinstance(a, np.ndarray)}


def live_bytes(graph: onnx.GraphProto, found: Mapping[str, int]) -> int:
    """The most that is needed at the same time: a tensor lives from the node that gives it to the last that reads it.

    Args:
        graph: whose nodes run in this order.
        found: the bytes of its tensors.
    """
    last = {value.name: len(graph.node) for value in graph.output}
    for index, node in enumerate(graph.node):
        for one in (node, *(n for inner in subgraphs(node) for n in nodes(inner))):
            last |= {name: max(index, last.get(name, 0)) for name in one.input}
    most = now = 0
    ends: dict[int, list[str]] = {}
    for name, index in last.items():
        ends.setdefault(index, []).append(name)
    for index, node in enumerate(graph.node):
        now += sum(found.get(name, 0) for name in node.output if name in last)
        most = max(most, now)
        now -= sum(found.get(name, 0) for name in ends.get(index, ()))
    return most


def answering(path: Path, sample: NDArray[Any], most: int) -> int:
    """How many samples a file is asked at once.

    Args:
        path: an ONNX file.
        sample: one [1, ...], as it takes them.
        most: at most so many.
    """
    model = onnx.load(path)
    return fitting(sample.nbytes + live_bytes(model.graph, sizes(model, sample)), most)
