"""Odd but legal classifiers of the tiny pictures: each way to write the same few layers, made and not collected."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layer = Literal["matmul", "matmul-3d", "gemm", "gemm-turned", "conv", "conv-1d"]
Bias = Literal["none", "[N]", "[1, N]", "[1]", "[]", "[1, 1]", "first"]
Home = Literal["stored", "constant", "named", "if", "if-own", "loop", "scan", "shared", "nested"]
Mask = Literal["none", "-inf", "lowest", "clip", "where"]
Opset = Literal[11, 13, 17, 21]
HIDDEN = 8


@dataclass(frozen=True)
class Odd:
    """How one graph is written: its first layer, the shape of biases, where weights lie, a mask, the opset."""

    layer: Layer = "matmul"
    bias: Bias = "[N]"
    home: Home = "stored"
    mask: Mask = "none"
    opset: Opset = 17

    def __str__(self) -> str:
        return " ".join(str(getattr(self, one.name)) for one in fields(self))


CHOICES: dict[str, tuple[Any, ...]] = {
    "layer": get_args(Layer),
    "bias": get_args(Bias),
    "home": get_args(Home),
    "mask": get_args(Mask),
    "opset": get_args(Opset),
}


def every_pair(seed: int = 0) -> list[Odd]:
    """Graphs in which any two choices meet at least once: faults of this kind come from one or two of them."""
    names = list(CHOICES)
    open_pairs = {((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x in CHOICES[a] for y in CHOICES[b]}
    draw = random.Random(seed)
    found = []
    while open_pairs:
        (a, x), (b, y) = min(open_pairs, key=repr)
        tries = [{n: draw.choice(CHOICES[n]) for n in names} | {a: x, b: y} for _ in range(40)]
        best = max(tries, key=lambda one: len(open_pairs & set(_pairs(one))))
        open_pairs -= set(_pairs(best))
        found.append(Odd(**best))
    return found


def each_choice() -> list[Odd]:
    """The plain graph, and those that differ from it in one choice."""
    plain = Odd()
    others = [Odd(**{name: value}) for name, values in CHOICES.items() for value in values]
    return [plain, *(one for one in others if one != plain)]


def _pairs(one: dict[str, Any]) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    yield from itertools.combinations(one.items(), 2)


def odd_graph(how: Odd) -> onnx.ModelProto:
    """The classifier that is written so: which third of an 8x8 picture is bright, as logits."""
    made = _Maker(how)
    hidden = made.first_layer()
    hidden = made.masked(hidden)
    hidden = made.inner_layer(hidden)
    made.head(hidden)
    graph = helper.make_graph(
        made.nodes,
        "somebody's",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        made.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", how.opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Maker:
    def __init__(self, how: Odd) -> None:
        self.how = how
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self._draw = np.random.default_rng(5)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def keep(self, name: str, values: Any) -> str:
        """Store a tensor as an initializer, or as the constant that a node gives."""
        tensor = numpy_helper.from_array(np.asarray(values), name)
        if self.how.home == "constant":
            return self.node("Constant", [], name, value=tensor)
        self.stored.append(tensor)
        return name

    def noise(self, *shape: int) -> Any:
        return self._draw.normal(size=shape).astype(np.float32)

    def thirds(self) -> Any:
        """Weights [64, HIDDEN] whose first three units each see one third of the picture."""
        columns = np.zeros((8, 8, HIDDEN), np.float32)
        for label in range(3):
            columns[:, label * 3 : label * 3 + 2, label] = 0.25
        return columns.reshape(64, HIDDEN) + 0.01 * self.noise(64, HIDDEN)

    def first_layer(self) -> str:
        kind = self.how.layer
        if kind in ("conv", "conv-1d"):
            return self._convolved(kind)
        self.node("Flatten", ["v0"], "flat", axis=1)
        if kind in ("gemm", "gemm-turned"):
            turned = kind == "gemm-turned"
            # Names as they come in foreign files: such as a rewrite would give to something of its own.
            weight = self.keep("h_weight", 2 * (self.thirds().T.copy() if turned else self.thirds()))
            bias = [] if self.how.bias in ("none", "first") else [self.keep("h_bias", self._bias(HIDDEN))]
            self.node("Gemm", ["flat", weight, *bias], "h", alpha=0.5, beta=2.0, transB=int(turned))
            return self.node("Relu", ["h"], "h_float")
        x = "flat"
        if kind == "matmul-3d":
            x = (
                self.node("Unsqueeze", ["flat", self.keep("one", np.array([1]))], "rows")
                if self.how.opset > 11
                else (self.node("Unsqueeze", ["flat"], "rows", axes=[1]))
            )
        y = self._added(self.node("MatMul", [x, self.keep("h_weight", self.thirds())], "product"), HIDDEN, "h")
        y = self.node("Relu", [y], "h_float")
        return self.node("Flatten", [y], "h_flat", axis=1) if kind == "matmul-3d" else y

    def _convolved(self, kind: str) -> str:
        signal = kind == "conv-1d"
        x = "v0"
        if signal:
            x = self.node("Reshape", ["v0", self.keep("lines", np.array([0, 8, 8]))], "signal")
        weight = self.noise(4, 8, 3) / 8 if signal else self.noise(4, 1, 3, 3) / 4
        weight[0] = 1 / weight[0].size
        y = self.node("Conv", [x, self.keep("w", weight)], "conv", pads=[1] * (2 if signal else 4))
        y = self.node("Relu", [self._added(y, 4, "c", (1,) if signal else (1, 1))], "c_float")
        y = self.node("Flatten", [y], "c_flat", axis=1)
        seen = np.zeros((4, *(() if signal else (8,)), 8, HIDDEN), np.float32)
        for label in range(3):
            seen[0, ..., label * 3 : label * 3 + 2, label] = 0.5 if signal else 0.25
        mixed = self.keep("mix", seen.reshape(-1, HIDDEN) + 0.002 * self.noise(seen.size // HIDDEN, HIDDEN))
        return self.node("MatMul", [y, mixed], "mixed")

    def _bias(self, size: int, behind: tuple[int, ...] = ()) -> Any:
        shapes = {"[1]": (1,), "[]": (), "[1, 1]": (1, 1)}
        if self.how.bias in shapes:
            return np.full(shapes[self.how.bias], 0.05, np.float32)
        values = (0.1 * np.abs(self.noise(size))).reshape(size, *behind)
        return values[None] if self.how.bias == "[1, N]" else values

    def _added(self, x: str, size: int, name: str, behind: tuple[int, ...] = ()) -> str:
        if self.how.bias == "none":
            return x
        bias = self.keep(f"{name}_bias", self._bias(size, behind))
        return self.node("Add", [bias, x] if self.how.bias == "first" else [x, bias], f"{name}_sum")

    def masked(self, x: str) -> str:
        """Share attention among the hidden units but the last two, by a constant that hides these."""
        kind = self.how.mask
        if kind == "none":
            return x
        if kind == "clip":
            low, high = self.keep("low", np.float32(-np.inf)), self.keep("high", np.float32(np.inf))
            return self.node("Clip", [x, low, high], "clipped")
        hidden = np.zeros((1, HIDDEN), np.float32)
        hidden[0, -2:] = np.finfo(np.float32).min if kind == "lowest" else -np.inf
        if kind == "where":
            shown, never = self.keep("shown", hidden == 0), self.keep("never", np.float32(-np.inf))
            scores = self.node("Where", [shown, x, never], "scores")
        else:
            scores = self.node("Add", [x, self.keep("mask", hidden)], "scores")
        shares = self.node("Softmax", [scores], "shares", axis=1)
        return self.node("Add", [x, shares], "attended")

    def inner_layer(self, x: str) -> str:
        """A layer whose weight is read by a graph within a node, alone or also outside."""
        kind = self.how.home
        if kind in ("stored", "constant", "named"):
            return x
        near = np.eye(HIDDEN, dtype=np.float32) + 0.01 * self.noise(HIDDEN, HIDDEN)
        if kind != "if-own":
            self.stored.append(numpy_helper.from_array(near, "inner_weight"))
            self.stored.append(numpy_helper.from_array(0.01 * self.noise(HIDDEN), "inner_bias"))
        if kind == "shared":
            x = self.node("MatMul", [x, "inner_weight"], "outside")
        if kind in ("if", "if-own", "shared", "nested"):
            return self._if(x, near)
        return self._loop(x) if kind == "loop" else self._scan(x)

    def _condition(self, name: str) -> str:
        """A truth that nothing folds, for it depends on the pictures."""
        self.node("ReduceMax", ["v0"], f"{name}_most", keepdims=0)
        self.stored.append(numpy_helper.from_array(np.float32(-1), f"{name}_least"))
        return self.node("Greater", [f"{name}_most", f"{name}_least"], f"{name}_holds")

    def _if(self, x: str, near: Any) -> str:
        holds = self._condition("if")
        own = [numpy_helper.from_array(near, "inner_weight")] if self.how.home == "if-own" else []
        own += [numpy_helper.from_array(np.zeros(HIDDEN, np.float32), "inner_bias")] if own else []
        yes = _graph("yes", _linear(x, "yes"), [], ["yes_sum"], own)
        no = _graph("no", [helper.make_node("Neg", [x], ["no_sum"])], [], ["no_sum"])
        branch = helper.make_node("If", [holds], ["chosen"], then_branch=yes, else_branch=no)
        if self.how.home == "nested":
            branch.output[0] = "deep"
            flat = _graph("flat", [helper.make_node("Relu", [x], ["flat_out"])], [], ["flat_out"])
            outer = _graph("outer", [branch], [], ["deep"])
            branch = helper.make_node("If", [holds], ["chosen"], then_branch=outer, else_branch=flat)
        self.nodes.append(branch)
        return "chosen"

    def _loop(self, x: str) -> str:
        self.stored += [numpy_helper.from_array(np.array(2), "times"), numpy_helper.from_array(np.array(True), "go")]
        body = [helper.make_node("Identity", ["go_in"], ["go_out"]), *_linear("state", "loop")]
        inputs = [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [None, HIDDEN]),
        ]
        given = [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), _value("loop_sum")]
        graph = helper.make_graph(body, "body", inputs, given)
        return self.node("Loop", ["times", "go", x], "looped", body=graph)

    def _scan(self, x: str) -> str:
        self.stored.append(numpy_helper.from_array(np.array([0, 8, 8]), "as_rows"))
        self.node("Reshape", ["v0", "as_rows"], "row_wise")
        self.node("Transpose", ["row_wise"], "each_row", perm=[1, 0, 2])
        body = [
            *_linear("row", "scan"),
            helper.make_node("Mul", ["scan_sum", "little"], ["scaled"]),
            helper.make_node("Add", ["state", "scaled"], ["next"]),
        ]
        self.stored.append(numpy_helper.from_array(np.float32(0.001), "little"))
        graph = helper.make_graph(body, "body", [_value("state"), _value("row")], [_value("next")])
        return self.node("Scan", [x, "each_row"], "scanned", body=graph, num_scan_inputs=1)

    def head(self, x: str) -> None:
        pick = np.eye(HIDDEN, 3, dtype=np.float32) * 4
        product = self.node("MatMul", [x, self.keep("pick", pick)], "picked")
        if self.how.bias == "none":
            self.node("Identity", [product], "logits")
        elif self.how.home == "named":
            self.node("Add", [product, self.keep("picked_bias", self._bias(3))], "logits")
        else:
            self.node("Add", [product, self.keep("logits_weight", self._bias(3))], "logits")


def _linear(x: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [x, "inner_weight"], [f"{name}_product"]),
        helper.make_node("Add", [f"{name}_product", "inner_bias"], [f"{name}_sum"]),
    ]


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, HIDDEN])


def _graph(
    name: str, nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str], stored: Any = ()
) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [_value(i) for i in inputs], [_value(o) for o in outputs], list(stored))
