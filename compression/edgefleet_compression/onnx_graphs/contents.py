"""What a graph computes with: how many numbers its weights are, in which types, and what reads them.

Weights are told by their shapes and by who reads them, never by their values, so that a skimmed file does.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

import onnx
from onnx import TensorProto

from edgefleet_compression.onnx_graphs.domains import STANDARD, operator_of
from edgefleet_compression.onnx_graphs.graph import nodes, subgraphs
from edgefleet_compression.onnx_graphs.weighted_nodes import RANDOM, WEIGHTS


@dataclass(frozen=True)
class Contents:
    """What a graph computes with, once all that never changes is worked out beforehand.

    Attributes:
        float_numbers: those of weights in fp32 that layers, recurrent networks and lookups read.
        other_numbers: those of weights in other real types, and of weights in fp32 that other operators read.
        few_bit_numbers: those of weights in 8 bits or fewer.
        other_readers: the operators that read `other_numbers`, each with the type that it reads them in.
        few_bit_readers: the operators that read `few_bit_numbers`.
        operators: all operators, the commonest first.
    """

    float_numbers: int = 0
    other_numbers: int = 0
    few_bit_numbers: int = 0
    other_readers: tuple[str, ...] = ()
    few_bit_readers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


class _Form(Enum):
    FLOAT = auto()
    OTHER_REAL = auto()
    FEW_BITS = auto()
    """Unfolded as it runs."""
    PACKED = auto()
    """Small integers as they are stored."""
    PLAIN = auto()
    """No weights: shapes, indices, flags."""


_REAL = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_SMALL = {"INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2", "FLOAT8E4M3FN", "FLOAT8E5M2", "FLOAT4E2M1"}
_FORMS: dict[int, _Form] = {
    TensorProto.FLOAT: _Form.FLOAT,
    **dict.fromkeys(_REAL, _Form.OTHER_REAL),
    **{number: _Form.PACKED for name, number in TensorProto.DataType.items() if name in _SMALL},
}


@dataclass(frozen=True)
class _Constant:
    """What never changes as a graph runs: its form, how many numbers it is, and whether it is a table or a row."""

    form: _Form
    numbers: int
    rank: int | None


@dataclass
class _Found:
    numbers: Counter[_Form] = field(default_factory=Counter)
    readers: dict[_Form, Counter[str]] = field(default_factory=lambda: {form: Counter() for form in _Form})
    counted: set[str] = field(default_factory=set)

    def take(self, name: str, constant: _Constant, form: _Form, reader: str) -> None:
        """Count a weight once, and each who reads it."""
        self.readers[form][reader] += 1
        if name not in self.counted:
            self.counted.add(name)
            self.numbers[form] += constant.numbers


def contents_of(graph: onnx.GraphProto) -> Contents:
    """What a graph computes with; weights may have placeholders for their bytes, as `skim` leaves them."""
    found = _Found()
    _look(graph, {}, found)
    every = Counter(operator_of(node) for node in nodes(graph) if node.op_type != "Constant")
    numbers, readers = found.numbers, found.readers
    return Contents(
        float_numbers=numbers[_Form.FLOAT],
        other_numbers=numbers[_Form.OTHER_REAL],
        few_bit_numbers=numbers[_Form.FEW_BITS],
        other_readers=_commonest(readers[_Form.OTHER_REAL]),
        few_bit_readers=_commonest(readers[_Form.FEW_BITS]),
        operators=_commonest(every),
    )


def _look(graph: onnx.GraphProto, around: dict[str, _Constant], found: _Found) -> None:
    known = {**around, **{tensor.name: _stored(tensor) for tensor in graph.initializer}}
    for node in graph.node:
        for name, constant, form in _weights_of(node, known):
            real = constant.form == _Form.OTHER_REAL
            found.take(name, constant, form, f"{operator_of(node)} (not in fp32)" if real else operator_of(node))
        inner = subgraphs(node)
        for one in inner:
            _look(one, known, found)
        if not inner and node.op_type not in RANDOM:
            _note(node, known)


def _weights_of(node: onnx.NodeProto, known: dict[str, _Constant]) -> Iterator[tuple[str, _Constant, _Form]]:
    """The weights that a node reads, and what they count as."""
    places = WEIGHTS.get(node.op_type, ()) if node.domain in STANDARD else None
    for place, name in enumerate(node.input):
        constant = known.get(name)
        if constant is None or (constant.rank is not None and constant.rank < 2):
            continue
        if constant.form == _Form.PACKED and node.op_type not in ("DequantizeLinear", "Cast"):
            yield name, constant, _Form.FEW_BITS
        elif constant.form == _Form.FLOAT and places is None:
            yield name, constant, _Form.OTHER_REAL
        elif places is not None and place in places and constant.form not in (_Form.PLAIN, _Form.PACKED):
            yield name, constant, constant.form


def _note(node: onnx.NodeProto, known: dict[str, _Constant]) -> None:
    """Write down what a node gives if that never changes."""
    if node.op_type == "Constant":
        tensor = next((a.t for a in node.attribute if a.HasField("t")), None)
        known[node.output[0]] = _Constant(_Form.PLAIN, 0, 1) if tensor is None else _stored(tensor)
        return
    given = [known.get(name) for name in node.input if name]
    if not given or None in given:
        return
    first = max((one for one in given if one), key=lambda one: one.numbers)
    form = {"DequantizeLinear": _Form.FEW_BITS, "Cast": _cast(node), "ConstantOfShape": _filled(node)}.get(
        node.op_type, first.form
    )
    for name in node.output:
        known[name] = _Constant(form, first.numbers, None if node.op_type == "ConstantOfShape" else first.rank)


def _stored(tensor: TensorProto) -> _Constant:
    return _Constant(_FORMS.get(tensor.data_type, _Form.PLAIN), math.prod(tensor.dims), len(tensor.dims))


def _cast(node: onnx.NodeProto) -> _Form:
    return next((_FORMS.get(int(a.i), _Form.PLAIN) for a in node.attribute if a.name == "to"), _Form.PLAIN)


def _filled(node: onnx.NodeProto) -> _Form:
    return next((_stored(a.t).form for a in node.attribute if a.HasField("t")), _Form.FLOAT)


def _commonest(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in counted.most_common())
