"""Tiny variants with state, and what they answer, stepped in onnxruntime alone."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tests.agent.variants import CLASSES, Variant, reduced_answers, ref

from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.manifest import Core, Encoding, Manifest
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState, StatePair
from edgefleet_tasks.tasks.classification import TASK

WIDTH = 4
PAIR = StatePair("h", "hn")


def stateful_model(seed: int = 0, state: tuple[int, ...] = (2, 1, WIDTH), fragile: bool = False) -> bytes:
    """x [batch,4], h -> logits [batch,3], hn: hn = h/2 + x in each place, logits = sum of hn over the first axis @ w.

    A fragile one is not finite once x is nowhere positive.
    """
    weights = np.random.default_rng(seed).normal(size=(WIDTH, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["h", "half"], ["faded"]),
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Log", ["top"], ["log"]),
        helper.make_node("Mul", ["log", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing" if fragile else "zero"], ["given"]),
        helper.make_node("Add", ["faded", "given"], ["hn"]),
        helper.make_node("ReduceSum", ["hn", "axes"], ["summed"], keepdims=0),
        helper.make_node("MatMul", ["summed", "w"], ["logits"]),
    ]
    open_ended = [state[0], "batch", *state[2:]]  # as exporters leave it
    graph = helper.make_graph(
        nodes,
        "stateful",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH]),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, open_ended),
        ],
        [
            helper.make_tensor_value_info("hn", TensorProto.FLOAT, open_ended),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
        ],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.float32(0.5), "half"),
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.array([0], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def stepped(model: bytes, steps: Iterable[Any], state: tuple[int, ...] = (2, 1, WIDTH)) -> list[Any]:
    """The logits of each step of one sequence, by onnxruntime alone."""
    session, h, found = onnxruntime.InferenceSession(model), np.zeros(state, np.float32), []
    for x in steps:
        h, logits = session.run(["hn", "logits"], {"x": np.asarray(x, np.float32).reshape(1, WIDTH), "h": h})
        found.append(logits[0])
    return found


def build_stateful(
    seed: int = 0,
    *,
    version: int = 1,
    carries: bool = True,
    idle_s: float = 60.0,
    state: tuple[int, ...] = (2, 1, WIDTH),
    fragile: bool = False,
    damaged: bool = False,
) -> Variant:
    """A variant of the model `steps`; a damaged one was recorded with the steps of its golden sequences reversed."""
    model = stateful_model(seed, state, fragile)
    inputs = np.random.default_rng(1).uniform(0.1, 1, (6, 5, WIDTH)).astype(np.float32)
    file = io.BytesIO()
    np.savez(file, inputs=inputs)
    logits = [row for one in inputs for row in stepped(model, one[::-1] if damaged else one, state)]
    spec = Spec(width=3, names=CLASSES)
    answers = pack_answers(TASK.reduce([np.stack(logits)], spec))
    encoded = compress(model)
    hashes = hash_list(encoded, 1024)
    h = Tensor("h", "FP32", state, batched=False)
    core = Core(
        onnx=ref(model),
        golden=ref(file.getvalue()),
        labels=CLASSES,
        spec=Spec(width=3),
        signature=Signature(
            (Tensor("x", "FP32", ("batch", WIDTH)), h),
            (Tensor("hn", "FP32", state, batched=False), Tensor("logits", "FP32", ("batch", 3))),
        ),
        state=SequenceState((PAIR,), carries, idle_s),
    )
    manifest = Manifest(
        model="steps",
        model_version=version,
        recipe=f"test {seed}",
        core=core,
        answers=reduced_answers(answers),
        encodings=(Encoding(kind="zstd", blob=ref(encoded), chunk_bytes=1024, chunk_hashes=ref(hashes)),),
        needs=("reduced-answers", *core.needs),
    )
    golden = file.getvalue()
    blobs = {digest(data): data for data in (manifest.to_bytes(), golden, answers, hashes, encoded)}
    return Variant(manifest, blobs, model, golden, answers)
