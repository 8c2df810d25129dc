"""Models that harm whoever runs them, and how a device must end that is given one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.fleet.publishing import Node, model_of, press_in

from edgefleet_protocol.encoding import compress
from edgefleet_protocol.phases import Phase, ReasonCode

DEEP = 3000
Harm = Callable[[str], list[Node]]
"""Nodes that make `harm` of a 0 or 1 of the given name: a number that is 0 where it is 0."""


@dataclass(frozen=True)
class Hostile:
    """A model and how a device that is given it must end; `changes` are made to its manifest."""

    name: str
    phase: Phase
    reason: ReasonCode
    onnx: Callable[[], bytes]
    changes: dict[str, Any] = field(default_factory=dict)
    right_answers: bool = True
    packed: Callable[[], bytes] | None = None


def _constant(name: str, value: Any, kind: type) -> Node:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, kind)))


def crash(when: str) -> list[Node]:
    """The smallest whole number divided by -1 is a trap of the processor."""
    return [
        _constant("one", 1, np.int64),
        _constant("smallest", -(2**63), np.int64),
        helper.make_node("Sub", ["one", when], ["less"]),
        helper.make_node("Sub", ["less", when], ["divisor"]),
        helper.make_node("Div", ["smallest", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
        _constant("nothing", 0, np.float32),
        helper.make_node("Mul", ["number", "nothing"], ["harm"]),
    ]


def hang(when: str) -> list[Node]:
    """A loop of 2^62 rounds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Identity", ["given"], ["kept"])],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("given", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, []),
        ],
    )
    return [
        _constant("many", 2**62, np.int64),
        _constant("true", True, np.bool_),
        _constant("nothing", 0, np.float32),
        helper.make_node("Mul", [when, "many"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "true", "nothing"], ["harm"], body=body),
    ]


def eat_memory(when: str) -> list[Node]:
    """A terabyte of zeros, added up."""
    return [
        _constant("much", [2**38], np.int64),
        helper.make_node("Mul", [when, "much"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["harm"], keepdims=0),
    ]


def turn_infinite(when: str) -> list[Node]:
    """The logarithm of 0."""
    return [
        helper.make_node("Cast", [when], ["is"], to=TensorProto.FLOAT),
        _constant("unit", 1, np.float32),
        helper.make_node("Sub", ["unit", "is"], ["rest"]),
        helper.make_node("Log", ["rest"], ["harm"]),
    ]


def always(harm: Harm) -> Callable[[], bytes]:
    """Harms on every image."""
    return partial(_harmful, harm, "GreaterOrEqual")


def on_black(harm: Harm) -> Callable[[], bytes]:
    """Harms on an image that is black all over, which no golden set holds."""
    return partial(_harmful, harm, "Equal")


def _harmful(harm: Harm, compare: str) -> bytes:
    when = [
        helper.make_node("ReduceSum", ["seen"], ["light"], keepdims=0),
        _constant("dark", 0, np.float32),
        helper.make_node(compare, ["light", "dark"], ["met"]),
        helper.make_node("Cast", ["met"], ["when"], to=TensorProto.INT64),
    ]
    return model_of([*when, *harm("when"), helper.make_node("Add", ["plain", "harm"], ["logits"])])


def too_deep() -> bytes:
    """Three thousand functions, each calling the next: onnxruntime runs out of stack as it loads them."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("deep", 1)]

    def function(number: int) -> Any:
        inner = ("Identity", "") if number == 0 else (f"f{number - 1}", "deep")
        call = helper.make_node(inner[0], ["a"], ["b"], domain=inner[1])
        return helper.make_function("deep", f"f{number}", ["a"], ["b"], [call], opsets)

    call = helper.make_node(f"f{DEEP - 1}", ["plain"], ["logits"], domain="deep")
    return model_of([call], [function(n) for n in range(DEEP)], ["deep"])


def bomb() -> bytes:
    """Half a gigabyte of zeros, packed."""
    return compress(bytes(2**29))


def unknown_operator() -> bytes:
    """An operator that nobody has."""
    return model_of([helper.make_node("NoSuch", ["plain"], ["logits"], domain="nowhere")], domains=["nowhere"])


# fmt: off
HOSTILE = (
    Hostile("other hardware", "rejected",           "wrong_hardware",   model_of, {"instruction_sets": ("arm-neon",)}),
    Hostile("newer runtime",  "rejected",           "runtime_too_old",  model_of, {"min_onnxruntime": "99.0"}),
    Hostile("too large",      "rejected",           "out_of_memory",    model_of, {"unfolded_bytes": 2**50}),
    Hostile("bomb",           "failed_no_change",   "blob_corrupt",     model_of, packed=bomb),
    Hostile("no model",       "failed_no_change",   "load_failed",      lambda: b"no graph" * 100),
    Hostile("cut off",        "failed_no_change",   "load_failed",      lambda: model_of()[:-1000]),
    Hostile("no such op",     "failed_no_change",   "load_failed",      unknown_operator),
    Hostile("other answers",  "failed_no_change",   "self_test_failed", model_of, right_answers=False),
    Hostile("not finite",     "failed_no_change",   "self_test_failed", always(turn_infinite)),
    Hostile("too deep",       "failed_no_change",   "worker_crashed",   too_deep),
    Hostile("crash",          "failed_no_change",   "worker_crashed",   always(crash)),
    Hostile("memory",         "failed_no_change",   "out_of_memory",    always(eat_memory)),
    Hostile("hang",           "failed_no_change",   "worker_timed_out", always(hang)),
    Hostile("live crash",     "failed_rolled_back", "worker_crashed",   on_black(crash)),
    Hostile("live memory",    "failed_rolled_back", "out_of_memory",    on_black(eat_memory)),
    Hostile("live infinity",  "failed_rolled_back", "trial_failed",     on_black(turn_infinite)),
    Hostile("live hang",      "failed_rolled_back", "worker_timed_out", on_black(hang)),
)
# fmt: on
FIRST_VERSION = 10


def version_of(hostile: Hostile) -> int:
    """The version of `fashion` that a hostile model is."""
    return FIRST_VERSION + HOSTILE.index(hostile)


def publish_all(state: Path, scratch: Path) -> None:
    """Publish every hostile model into a controller's state folder while no controller runs there."""
    with press_in(state, scratch) as press:
        for hostile in HOSTILE:
            press.publish(
                version_of(hostile),
                hostile.onnx(),
                changes=hostile.changes,
                right_answers=hostile.right_answers,
                packed=hostile.packed and hostile.packed(),
            )
