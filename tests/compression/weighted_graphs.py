"""Small graphs whose weights are not those of layers on top: recurrent, tables, constants, and within nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Feed = Mapping[str, NDArray[Any]]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
HIDDEN, WIDTH, ROWS = 48, 40, 700
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Weighted:
    """A model, what to ask it, and the shapes of the weights that are to be stored, each of another shape."""

    model: onnx.ModelProto
    feeds: tuple[Feed, ...]
    stored: frozenset[tuple[int, ...]] = field(default=frozenset())


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Weights whose outputs differ in size, so that a grid along another axis is a worse one."""
    drawn = np.random.default_rng([seed, *shape])
    size = drawn.uniform(0.05, 1, shape[:-1])[..., None] / np.sqrt(shape[-1])
    return (drawn.normal(size=shape) * size).astype(np.float32)


def tensor(name: str, values: NDArray[Any]) -> onnx.TensorProto:
    """A stored tensor."""
    return numpy_helper.from_array(values, name)


def info(name: str, elem: int, shape: Any) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, elem, shape)


def constant(name: str, values: NDArray[Any]) -> onnx.NodeProto:
    """A tensor as a node."""
    return helper.make_node("Constant", [], [name], value=tensor("", values))


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    stored: list[onnx.TensorProto],
    opset: int = 21,
    rank: int = 2,
) -> onnx.ModelProto:
    """A model with the output `y`, of open sizes."""
    graph = helper.make_graph(nodes, "g", inputs, [info("y", FLOAT, [None] * rank)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def recurrent(kind: str, opset: int = 21) -> Weighted:
    """A recurrent layer with two directions, over any number of steps."""
    rows = GATES[kind] * HIDDEN
    weights = {"w": random(2, rows, WIDTH), "r": random(2, rows, HIDDEN), "b": random(2, 2 * rows)}
    node = helper.make_node(kind, ["x", *weights], ["y"], hidden_size=HIDDEN, direction="bidirectional")
    made = model([node], [info("x", FLOAT, ["t", 1, WIDTH])], [tensor(*w) for w in weights.items()], opset, 4)
    return Weighted(made, ({"x": random(30, 1, WIDTH, seed=1)},), frozenset({(2, rows, WIDTH), (2, rows, HIDDEN)}))


def tied() -> Weighted:
    """A table that is looked up, and, transposed, the head: its scores over all rows."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["found"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["found", "turned"], ["y"]),
    ]
    made = model(nodes, [info("tokens", INT64, ["n"])], [tensor("table", random(ROWS, WIDTH))])
    return Weighted(made, ({"tokens": np.array([5, 0, 699])},), frozenset({(ROWS, WIDTH)}))


def branches(alike: bool = True) -> Weighted:
    """An `If` whose branches bring their weights as constants, under the same names; the first is alike in both."""

    def branch(seed: int, *ends: onnx.NodeProto) -> onnx.GraphProto:
        nodes = [
            constant("first", random(WIDTH, HIDDEN, seed=0 if alike else seed)),
            constant("last", random(HIDDEN, HIDDEN + 1, seed=seed)),
            helper.make_node("MatMul", ["x", "first"], ["h"]),
            helper.make_node("MatMul", ["h", "last"], ["z"]),
            *ends,
        ]
        return helper.make_graph(nodes, f"b{seed}", [], [info("out", FLOAT, None)])

    sides = {
        "then_branch": branch(1, helper.make_node("Relu", ["z"], ["out"])),
        "else_branch": branch(2, helper.make_node("Neg", ["z"], ["out"])),
    }
    nodes = [helper.make_node("If", ["holds"], ["chosen"], **sides), helper.make_node("MatMul", ["chosen", "w"], ["y"])]
    inputs = [info("x", FLOAT, ["n", WIDTH]), info("holds", TensorProto.BOOL, [])]
    feeds = tuple({"x": random(6, WIDTH, seed=3), "holds": np.array(holds)} for holds in (True, False))
    made = model(nodes, inputs, [tensor("w", random(HIDDEN + 1, 32))])
    return Weighted(made, feeds, frozenset({(WIDTH, HIDDEN), (HIDDEN, HIDDEN + 1), (HIDDEN + 1, 32)}))


def loop() -> Weighted:
    """A `Loop` whose body reads a weight of the graph around it, and one of its own."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "outer"], ["a"]),
            helper.make_node("Tanh", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "own"], ["next"]),
            helper.make_node("Identity", ["more"], ["goes_on"]),
        ],
        "body",
        [info("i", INT64, []), info("more", TensorProto.BOOL, []), info("h", FLOAT, None)],
        [info("goes_on", TensorProto.BOOL, []), info("next", FLOAT, None)],
        [tensor("own", random(HIDDEN, WIDTH))],
    )
    times = [tensor("times", np.array(5)), tensor("always", np.array(True))]
    nodes = [helper.make_node("Loop", ["times", "always", "x"], ["y"], body=body)]
    made = model(nodes, [info("x", FLOAT, ["n", WIDTH])], [tensor("outer", random(WIDTH, HIDDEN)), *times])
    return Weighted(made, ({"x": random(4, WIDTH, seed=1)},), frozenset({(WIDTH, HIDDEN), (HIDDEN, WIDTH)}))


def scan() -> Weighted:
    """A `Scan` over rows, whose body adds what they give through weights of its own."""
    body = helper.make_graph(
        [
            constant("w", random(WIDTH, HIDDEN)),
            helper.make_node("MatMul", ["row", "w"], ["a"]),
            helper.make_node("Add", ["h", "a"], ["next"]),
            helper.make_node("Identity", ["next"], ["told"]),
        ],
        "body",
        [info("h", FLOAT, [HIDDEN]), info("row", FLOAT, [WIDTH])],
        [info("next", FLOAT, [HIDDEN]), info("told", FLOAT, [HIDDEN])],
    )
    start = tensor("start", np.zeros(HIDDEN, np.float32))
    node = helper.make_node("Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    made = model([node], [info("x", FLOAT, ["t", WIDTH])], [start])
    return Weighted(made, ({"x": random(9, WIDTH, seed=1)},), frozenset({(WIDTH, HIDDEN)}))


def upward(group: int = 1) -> Weighted:
    """A transposed convolution: outputs are on the second axis of its weight, or on the first if each has its own."""
    shape = (WIDTH, HIDDEN, 3, 3) if group == 1 else (WIDTH, 1, 9, 9)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=group)
    made = model([node], [info("x", FLOAT, ["n", WIDTH, 5, 5])], [tensor("w", random(*shape))], rank=4)
    return Weighted(made, ({"x": random(2, WIDTH, 5, 5, seed=1)},), frozenset({shape}))


GRAPHS: Mapping[str, Callable[[], Weighted]] = {
    **{kind.lower(): lambda kind=kind: recurrent(kind) for kind in GATES},  # type: ignore[misc]
    "tied": tied,
    "branches": branches,
    "loop": loop,
    "scan": scan,
    "upward": upward,
    "upward-each": lambda: upward(WIDTH),
}
