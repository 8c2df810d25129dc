"""The weights of an ONNX file that can be stored in few bits: of layers, of recurrent networks, and tables."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgefleet_compression.grid import Axes, Weights, as_stored, by_output, layer_kind
from edgefleet_compression.layer_kinds import WeightKind
from edgefleet_compression.onnx_graphs.constants import LEAST_NUMBERS
from edgefleet_compression.onnx_graphs.domains import STANDARD
from edgefleet_compression.onnx_graphs.graph import attribute, subgraphs

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (1,),
    "Gather": (0,),
    **dict.fromkeys(RECURRENT, (1, 2)),
}
"""By operator, which of its inputs are weights."""
BIASES: Mapping[str, int] = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, **dict.fromkeys(RECURRENT, 3)}
"""By operator, which of its inputs is added to what the weights give."""
RANDOM = frozenset({"RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"})


@dataclass(frozen=True)
class WeightedNode:
    """A stored weight: the graph that stores it, which axes count outputs, and what it is to those who read it.

    Where readers count outputs by other axes, those of most readers are named, and of as many, those with the most
    outputs. The kind that those axes belong to is the first one.
    """

    weight: TensorProto
    home: onnx.GraphProto
    axes: Axes
    kinds: tuple[WeightKind, ...]
    biases: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The weight's name."""
        return self.weight.name

    @property
    def kind(self) -> WeightKind:
        """What the weight is to most of its readers."""
        return self.kinds[0]

    def values(self) -> Weights:
        """The weight float32 [outputs, ...]."""
        return by_output(numpy_helper.to_array(self.weight), self.axes)

    def replace(self, values: Weights) -> None:
        """Store other values float32 [outputs, ...] in its place."""
        ordered = as_stored(values.astype(np.float32, copy=False), self.axes, self.weight.dims)
        self.weight.CopyFrom(numpy_helper.from_array(ordered, self.weight.name))


@dataclass
class _Stored:
    """A tensor that may be a weight, with what its readers are: their kind, and the axes that count outputs."""

    weight: TensorProto
    home: onnx.GraphProto
    readers: list[tuple[WeightKind, Axes]] = field(default_factory=list)
    biases: set[str] = field(default_factory=set)

    def found(self) -> WeightedNode:
        """The weight, as most of its readers see it."""
        times = Counter(axes for _, axes in self.readers)
        axes = max(times, key=lambda axes: (times[axes], math.prod(self.weight.dims[a] for a in axes)))
        kinds = dict.fromkeys(kind for kind, _ in sorted(self.readers, key=lambda reader: reader[1] != axes))
        return WeightedNode(self.weight, self.home, axes, tuple(kinds), frozenset(self.biases))


@dataclass(frozen=True)
class _View:
    """A stored tensor as a name gives it; `order` says which axis of the tensor each axis of the view is."""

    stored: _Stored
    order: Axes

    @property
    def dims(self) -> tuple[int, ...]:
        """The sizes of the view."""
        return tuple(self.stored.weight.dims[axis] for axis in self.order)

    def seen_through(self, node: onnx.NodeProto) -> "_View | None":
        """What a node makes of it that changes no number; None for every other node."""
        if node.op_type == "Identity":
            return self
        if node.op_type != "Transpose":
            return None
        turned = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        places = range(len(self.order) - 1, -1, -1) if turned is None else turned
        return _View(self.stored, tuple(self.order[place] for place in places))


@dataclass
class _Scope:
    """What names mean within a graph: the stored tensors, values that are constant, and the model's inputs."""

    views: dict[str, _View]
    constant: set[str]
    inputs: frozenset[str]

    def within(self, graph: onnx.GraphProto) -> "_Scope":
        """The names of a graph, and those of the graphs around it."""
        given = {value.name for value in graph.input}  # an input takes the place of a tensor of its name
        own = [tensor for tensor in graph.initializer if tensor.name not in given]
        views = {t.name: _View(_Stored(t, graph), tuple(range(len(t.dims)))) for t in own if _is_weight(t)}
        return _Scope({**self.views, **views}, self.constant | {tensor.name for tensor in own}, self.inputs)


def weighted_nodes(graph: onnx.GraphProto) -> list[WeightedNode]:
    """Every finite fp32 weight, in the order in which the graph first reads them; a shared one is named once.

    Those of graphs within nodes count too: their weights lie there, or in a graph around. A table counts if it is
    large and its rows are chosen as the graph runs: others are folded away as a session loads.
    """
    scope = _Scope({}, set(), frozenset(value.name for value in graph.input))
    found = {id(stored): stored for stored in _read(graph, scope)}
    return [stored.found() for stored in found.values()]


def _read(graph: onnx.GraphProto, around: _Scope) -> Iterator[_Stored]:
    """The stored tensors that are read as weights, as often as they are; their readers are written down."""
    scope = around.within(graph)
    for node in graph.node:
        for place in WEIGHTS.get(node.op_type, ()) if node.domain in STANDARD else ():
            view = scope.views.get(node.input[place]) if place < len(node.input) else None
            told = _told(node, view, scope) if view is not None else None
            if view is None or told is None:
                continue
            kind, places = told
            view.stored.readers.append((kind, tuple(sorted(view.order[place] for place in places))))
            bias = BIASES.get(node.op_type)
            view.stored.biases |= {node.input[bias]} if bias is not None and bias < len(node.input) else set()
            yield view.stored
        inner = subgraphs(node)
        for one in inner:
            yield from _read(one, scope)
        _note(node, scope, fixed=not inner)


def _note(node: onnx.NodeProto, scope: _Scope, *, fixed: bool) -> None:
    """Write down what a node gives: a stored tensor seen otherwise, or something that is always the same."""
    seen = scope.views.get(node.input[0]) if node.input else None
    if seen is not None and (view := seen.seen_through(node)) is not None:
        scope.views[node.output[0]] = view
    follows = node.op_type == "Constant" or (node.input and all(n in scope.constant for n in node.input if n))
    if fixed and follows and node.op_type not in RANDOM:
        scope.constant.update(node.output)


def _told(node: onnx.NodeProto, view: _View, scope: _Scope) -> tuple[WeightKind, Axes] | None:
    """What a weight is to a node, and which axes of the view count outputs; None if it is none."""
    op, rank = node.op_type, len(view.dims)
    if op in RECURRENT:
        return ("recurrent", (0, 1)) if rank == 3 else None
    if op == "Gather":
        chosen = node.input[1] not in scope.constant and attribute(node, "axis", 0) == 0
        return ("table", (0,)) if chosen and math.prod(view.dims) >= LEAST_NUMBERS else None
    kind = layer_kind(
        first=node.input[0] in scope.inputs,
        rank=rank if "Conv" in op else 2,
        kernel=math.prod(view.dims[2:]),
        groups=attribute(node, "group", 1),
    )
    if op == "ConvTranspose":  # [inputs, outputs of a group, ...]
        return kind, (1,) if view.dims[1] > 1 else (0,)
    rows_first = op == "Conv" or (op == "Gemm" and attribute(node, "transB", 0))
    return kind, (0 if rows_first else rank - 1,)


def _is_weight(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or 0 in tensor.dims:
        return False
    return bool(np.isfinite(numpy_helper.to_array(tensor)).all())
