"""Models that harm whoever runs them, published as the controller publishes its own."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.fleet.asking import PROFILE

from edgefleet_compression.recipe import shipped_recipes
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_controller.store import Store
from edgefleet_profiles.parts import CHUNK_BYTES
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.manifest import BlobRef, Encoding, Manifest, verify
from edgefleet_protocol.phases import Phase, ReasonCode

WEIGHTS = np.random.default_rng(7).normal(size=(784, 10)).astype(np.float32) / 28
DEEP = 3000
Node = Any
Harm = Callable[[str], list[Node]]
"""Nodes that make `harm` of a 0 or 1 of the given name: a number that is 0 where it is 0."""


@dataclass(frozen=True)
class Hostile:
    """A model and how a device that is given it must end; `changes` are made to its manifest."""

    name: str
    phase: Phase
    reason: ReasonCode
    onnx: bytes
    changes: dict[str, Any] = field(default_factory=dict)
    right_answers: bool = True
    packed: bytes | None = None


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


def _model(nodes: list[Node], functions: tuple[Any, ...] = (), domains: tuple[str, ...] = ()) -> bytes:
    """image [N,1,28,28] -> logits [N,10]; `nodes` make the logits of `plain`."""
    start = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["plain"])]
    graph = helper.make_graph(
        [*start, *nodes],
        "hostile",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)
    return bytes(made.SerializeToString())


def harmful(harm: Harm, on_black: bool) -> bytes:
    """Harms on every image, or only on one that is black all over, which no golden set holds."""
    test = helper.make_node("Equal" if on_black else "GreaterOrEqual", ["light", "dark"], ["met"])
    when = [
        helper.make_node("ReduceSum", ["image"], ["light"], keepdims=0),
        _constant("dark", 0, np.float32),
        test,
        helper.make_node("Cast", ["met"], ["when"], to=TensorProto.INT64),
    ]
    return _model([*when, *harm("when"), helper.make_node("Add", ["plain", "harm"], ["logits"])])


def sound() -> bytes:
    """One that does nothing wrong."""
    return _model([helper.make_node("Identity", ["plain"], ["logits"])])


def too_deep() -> bytes:
    """Three thousand functions, each calling the next: onnxruntime runs out of stack as it loads them."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("deep", 1)]

    def function(number: int) -> Any:
        inner = ("Identity", "") if number == 0 else (f"f{number - 1}", "deep")
        call = helper.make_node(inner[0], ["a"], ["b"], domain=inner[1])
        return helper.make_function("deep", f"f{number}", ["a"], ["b"], [call], opsets)

    call = helper.make_node(f"f{DEEP - 1}", ["plain"], ["logits"], domain="deep")
    return _model([call], tuple(function(n) for n in range(DEEP)), ("deep",))


def unknown_operator() -> bytes:
    """An operator that nobody has."""
    return _model([helper.make_node("NoSuch", ["plain"], ["logits"], domain="nowhere")], domains=("nowhere",))


# fmt: off
HOSTILE = (
    Hostile("other hardware", "rejected",           "wrong_hardware",   sound(), {"instruction_sets": ("arm-neon",)}),
    Hostile("newer runtime",  "rejected",           "runtime_too_old",  sound(), {"min_onnxruntime": "99.0"}),
    Hostile("too large",      "rejected",           "out_of_memory",    sound(), {"unfolded_bytes": 2**50}),
    Hostile("bomb",           "failed_no_change",   "blob_corrupt",     sound(), packed=compress(bytes(2**29))),
    Hostile("no model",       "failed_no_change",   "load_failed",      b"no graph" * 100),
    Hostile("cut off",        "failed_no_change",   "load_failed",      sound()[:-1000]),
    Hostile("no such op",     "failed_no_change",   "load_failed",      unknown_operator()),
    Hostile("other answers",  "failed_no_change",   "self_test_failed", sound(), right_answers=False),
    Hostile("not finite",     "failed_no_change",   "self_test_failed", harmful(turn_infinite, on_black=False)),
    Hostile("too deep",       "failed_no_change",   "worker_crashed",   too_deep()),
    Hostile("crash",          "failed_no_change",   "worker_crashed",   harmful(crash, on_black=False)),
    Hostile("memory",         "failed_no_change",   "out_of_memory",    harmful(eat_memory, on_black=False)),
    Hostile("hang",           "failed_no_change",   "worker_timed_out", harmful(hang, on_black=False)),
    Hostile("live crash",     "failed_rolled_back", "worker_crashed",   harmful(crash, on_black=True)),
    Hostile("live memory",    "failed_rolled_back", "out_of_memory",    harmful(eat_memory, on_black=True)),
    Hostile("live infinity",  "failed_rolled_back", "trial_failed",     harmful(turn_infinite, on_black=True)),
    Hostile("live hang",      "failed_rolled_back", "worker_timed_out", harmful(hang, on_black=True)),
)
# fmt: on
FIRST_VERSION = 10


def version_of(hostile: Hostile) -> int:
    """The version of `fashion` that a hostile model is."""
    return FIRST_VERSION + HOSTILE.index(hostile)


def publish_all(state: Path, scratch: Path) -> None:
    """Publish every hostile model into a controller's state folder while no controller runs there."""
    store = Store(state)
    try:
        blobs = BlobFolder(state / "blobs")
        base = store.registry.variants("fashion", 1)[0]
        manifest = verify(blobs.read(base.manifest), base.manifest)
        assert manifest.core.golden
        expected = _expected(blobs.read(manifest.core.golden.sha256), manifest.core.preprocessing.scale)
        for hostile in HOSTILE:
            _publish(store, blobs, base, manifest.core.golden, expected, hostile, scratch)
    finally:
        store.close()


def _expected(golden: bytes, scale: float) -> np.ndarray:
    """What the plain model answers to the golden set: [samples][classes]."""
    with np.load(io.BytesIO(golden)) as archive:
        images = archive["inputs"].astype(np.float32) * np.float32(scale)
    powers = np.exp(images.reshape(len(images), -1) @ WEIGHTS)
    return np.asarray((powers / powers.sum(1, keepdims=True)).round(4))


def _publish(
    store: Store,
    blobs: BlobFolder,
    base: VariantRecord,
    golden: BlobRef,
    expected: np.ndarray,
    hostile: Hostile,
    scratch: Path,
) -> None:
    version, publisher = version_of(hostile), Publisher(store, blobs)
    model = store.registry.model("fashion", 1).model_copy(update={"version": version})
    store.registry.put_model(model)
    path = scratch / f"{version}.onnx"
    path.write_bytes(hostile.onnx)
    recorded = expected if hostile.right_answers else expected[:, ::-1]
    outcome = {
        "onnx_path": str(path),
        "runtime": {},
        "metrics": base.metrics.model_dump(),
        "expected": {"probabilities": recorded.tolist(), "instruction_set": "x86-avx2"},
        "unfolded_bytes": math.prod(WEIGHTS.shape) * 4,
        "steps": [],
    }
    recipe = shipped_recipes()["fp32"]
    variant = publisher.publish(model, recipe, outcome, golden=golden, instruction_sets=())
    changes = dict(hostile.changes)
    if hostile.packed is not None:
        packed = hostile.packed
        hashes = publisher.deliver(hash_list(packed, CHUNK_BYTES))
        blob = publisher.deliver(packed)
        changes["encodings"] = [Encoding(kind="zstd", blob=blob, chunk_bytes=CHUNK_BYTES, chunk_hashes=hashes)]
    if changes:
        written = verify(blobs.read(variant.manifest), variant.manifest)
        ref = publisher.deliver(Manifest.model_validate(written.model_dump() | changes).to_bytes())
        variant = variant.model_copy(update={"manifest": ref.sha256, "manifest_bytes": ref.size_bytes})
    reasons = {variant.id: "a test wants it"}
    choice = ChoiceRecord(model="fashion", version=version, profile=PROFILE, variant=variant.id, reasons=reasons)
    store.registry.put_variants([variant], [choice])
