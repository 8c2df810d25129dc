"""How many samples a graph is asked at once: as many as fit, by the bytes that one of them takes on its way.

Measured on a model of 68 kB that takes 96x96 pictures, 250 of them: 250 at once take 1,269 MB and 2.1 s, 64 take 422 MB
and 1.7 s, 8 take 62 MB and 1.0 s. More than a cache holds is never faster.
"""

import math
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
from edgefleet_compression.onnx_graphs.skim import skim
from edgefleet_compression.samples import Feed
from edgefleet_protocol.datatypes import BY_RUNTIME

LARGE_FILE_BYTES = 256 * 2**20
"""To watch a graph takes its file five times in memory, and to clean it seven times: a larger one is judged by its
shapes alone, and passed on as it is."""
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


def readable(session: Any) -> list[str]:
    """The outputs of a session that numpy has a type for: not those of bfloat16, or of 4 bits."""
    return [given.name for given in session.get_outputs() if given.type in BY_RUNTIME]


def given_by(model: onnx.ModelProto) -> list[str]:
    """The names of all that nodes give, without those of graphs within them."""
    return [name for node in model.graph.node for name in node.output if name]


def run_once(model: onnx.ModelProto, one: Feed) -> dict[str, NDArray[Any]]:
    """Each readable tensor that a node gives for one sample, by name."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-watched-") as folder:
        session = watched(model, given_by(model), Path(folder))
        names = readable(session)
        answers = session.run(names, dict(one))
    return dict(zip(names, map(np.asarray, answers), strict=True))


def sizes(model: onnx.ModelProto, one: Feed) -> dict[str, int]:
    """The bytes of each tensor that a node gives for one sample, by running it once."""
    return {name: tensor.nbytes for name, tensor in run_once(model, one).items()}


def at_once(model: onnx.ModelProto, one: Feed, most: int) -> int:
    """How many samples a graph is watched with: as many as it is made for, or as fit.

    Args:
        model: the graph.
        one: a sample, as it takes them.
        most: at most so many.
    """
    made_for = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name in one]
    fixed = [dims[0].dim_value for dims in made_for if dims and dims[0].dim_value]
    return min(fixed) if fixed else fitting(sum(sizes(model, one).values()), most)


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


def answering(path: Path, one: Feed, most: int) -> int:
    """How many samples a file is asked at once.

    Args:
        path: an ONNX file.
        one: a sample, as it takes them.
        most: at most so many.
    """
    if path.stat().st_size > LARGE_FILE_BYTES:
        return _by_shapes(path, one, most)
    model = onnx.load(path)
    return fitting(_bytes(one) + live_bytes(model.graph, sizes(model, one)), most)


def _bytes(one: Feed) -> int:
    return sum(x.nbytes for x in one.values())


def _by_shapes(path: Path, one: Feed, most: int) -> int:
    """As `answering`, without the weights: one if a shape is not known."""
    model = skim(path)
    for given in model.graph.input:
        x = one.get(given.name)
        for dim, size in zip(given.type.tensor_type.shape.dim, () if x is None else x.shape, strict=False):
            dim.Clear()
            dim.dim_value = size
    inferred = onnx.shape_inference.infer_shapes(model).graph
    found = {value.name: _value_bytes(value) for value in (*inferred.value_info, *inferred.output)}
    known = {name: size for name, size in found.items() if size is not None}
    if not set(given_by(model)) <= known.keys():
        return 1
    return fitting(_bytes(one) + live_bytes(model.graph, known), most)


def _value_bytes(value: onnx.ValueInfoProto) -> int | None:
    """The bytes of a tensor by its shape; None if that is not known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    size = int(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize)
    return size * math.prod(int(dim.dim_value) for dim in kind.shape.dim)
