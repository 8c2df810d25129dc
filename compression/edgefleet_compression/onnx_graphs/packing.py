"""Layouts of a quantized file that unfold to exactly the same weights: types, order, and how floats are written."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.onnx_graphs.graph import nodes, put_first
from edgefleet_compression.onnx_graphs.names import readers, rename_all
from edgefleet_compression.onnx_graphs.storage import NIBBLE_LEVELS, integer_tensor, knows_nibbles

INTEGERS = frozenset({TensorProto.INT8, TensorProto.INT4, TensorProto.INT2})
TWO_BITS_OPSET, TWO_BITS_IR = 25, 13
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
FLOATS = "packed_floats"
LEAST_NUMBERS = 4

Order = Literal["graph", "type", "levels"]
Floats = Literal["plain", "each", "together"]
ORDERS: tuple[Order, ...] = ("graph", "type", "levels")
FLOATS_WAYS: tuple[Floats, ...] = ("plain", "each", "together")


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    `wide` are the integer tensors that take a byte for each number although four bits would do, `turned` those whose
    first axis is stored last. With `two_bits`, those of three levels take two bits, which only opset 25 knows.
    `order` is that of the tensors: as the graph has them, by type, or integers by how many levels they use. `floats`
    says how those with 8 significant bits are written: in 32 bits, in 16 each for itself, or in 16 as one tensor.
    """

    wide: frozenset[str] = frozenset()
    turned: frozenset[str] = frozenset()
    order: Order = "type"
    floats: Floats = "plain"
    two_bits: bool = False


def stored_integers(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """The integer tensors that a `Cast` unfolds, and nothing else reads, by name."""
    read = readers(graph)
    cast = {node.input[0] for node in graph.node if node.op_type == "Cast"}
    return {t.name: t for t in graph.initializer if t.data_type in INTEGERS and t.name in cast and read[t.name] == 1}


def laid_out(model: onnx.ModelProto, layout: Layout) -> onnx.ModelProto:
    """The same model in a layout; names are as short as they can be."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    found = stored_integers(graph)
    nibbles = knows_nibbles(model)
    for tensor in found.values():
        _store(graph, tensor, layout, nibbles=nibbles)
    if any(tensor.data_type == TensorProto.INT2 for tensor in graph.initializer):
        next(entry for entry in made.opset_import if entry.domain == "").version = TWO_BITS_OPSET
        made.ir_version = TWO_BITS_IR
    if layout.floats != "plain":
        _halve(graph, layout.floats)
    _arrange(graph, layout.order)
    _name(graph)
    return made


def _store(graph: onnx.GraphProto, tensor: TensorProto, layout: Layout, *, nibbles: bool) -> None:
    values = numpy_helper.to_array(tensor).astype(np.int8)
    most = np.abs(values).max(initial=0)
    if tensor.name in layout.turned and values.ndim > 1:
        values = np.ascontiguousarray(np.moveaxis(values, 0, -1))
        index, cast = next((i, n) for i, n in enumerate(graph.node) if tensor.name in n.input)
        back = [values.ndim - 1, *range(values.ndim - 1)]
        named = f"{cast.output[0]}_turned"
        turn = helper.make_node("Transpose", [named], [cast.output[0]], perm=back)
        cast.output[0] = named
        graph.node.insert(index + 1, turn)
    packed = TensorProto.INT8
    if nibbles and most <= NIBBLE_LEVELS and tensor.name not in layout.wide:
        packed = TensorProto.INT2 if layout.two_bits and most <= 1 else TensorProto.INT4
    tensor.CopyFrom(integer_tensor(tensor.name, values, packed))


def _halve(graph: onnx.GraphProto, floats: Floats) -> None:
    """Write floats whose lower halves are zero in bfloat16, which is their upper halves."""
    short = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT and _is_short(t)]
    if not short:
        return
    unfold: list[onnx.NodeProto] = []
    if floats == "each":
        for tensor in short:
            half = f"{tensor.name}_half"
            unfold.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(_half(half, [tensor], list(tensor.dims)))
    else:
        unfold = _together(graph, short)
    put_first(graph, unfold)


def _together(graph: onnx.GraphProto, short: list[TensorProto]) -> list[onnx.NodeProto]:
    sizes = [int(np.prod(t.dims)) for t in short]
    parts = [t.name if len(t.dims) == 1 else f"{t.name}_flat" for t in short]
    shapes = {tuple(t.dims): [-1 if d > 1 else 1 for d in t.dims] for t in short if len(t.dims) > 1}
    graph.initializer.append(_half(FLOATS, short, [sum(sizes)]))
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), f"{FLOATS}_sizes"))
    unfold = [
        helper.make_node("Cast", [FLOATS], [f"{FLOATS}_whole"], to=TensorProto.FLOAT),
        helper.make_node("Split", [f"{FLOATS}_whole", f"{FLOATS}_sizes"], parts),
    ]
    for tensor, part in zip(short, parts, strict=True):
        if len(tensor.dims) > 1:
            shape = shapes[tuple(tensor.dims)]
            shape = shape if shape.count(-1) <= 1 else list(tensor.dims)
            named = f"{FLOATS}_shape_{'_'.join(map(str, shape))}"
            if named not in {t.name for t in graph.initializer}:
                graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), named))
            unfold.append(helper.make_node("Reshape", [part, named], [tensor.name]))
    for tensor in short:
        graph.initializer.remove(tensor)
    return unfold


def _is_short(tensor: TensorProto) -> bool:
    values = numpy_helper.to_array(tensor)
    return values.size >= LEAST_NUMBERS and not (np.ascontiguousarray(values).view(np.uint32) & 0xFFFF).any()


def _half(name: str, tensors: Iterable[TensorProto], dims: list[int]) -> TensorProto:
    flat = np.concatenate([numpy_helper.to_array(t).reshape(-1) for t in tensors])
    upper = (np.ascontiguousarray(flat).view(np.uint32) >> 16).astype("<u2")
    return helper.make_tensor(name, TensorProto.BFLOAT16, dims, upper.tobytes(), raw=True)


def _arrange(graph: onnx.GraphProto, order: Order) -> None:
    if order == "graph":
        return

    def key(tensor: TensorProto) -> tuple[int, int]:
        levels = 0
        if order == "levels" and tensor.data_type in INTEGERS:
            levels = int(np.abs(numpy_helper.to_array(tensor).astype(np.int8)).max(initial=0))
        return tensor.data_type == TensorProto.FLOAT, 1000 * tensor.data_type + levels

    ordered = sorted(graph.initializer, key=key)
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def _name(graph: onnx.GraphProto) -> None:
    """No names for nodes, and of one letter or two for values."""
    for node in nodes(graph):
        node.ClearField("name")
    rename_all(graph, _letters())


def _letters() -> Iterator[str]:
    for length in itertools.count(1):
        yield from map("".join, itertools.product(ALPHABET, repeat=length))
