"""Tiny real variants for the agent's tests, with every blob that a device needs for them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.manifest import BlobRef, Core, Encoding, Expected, Manifest, Preprocessing, ReducedAnswers
from edgefleet_protocol.messages import DesiredModel
from edgefleet_protocol.spec import PROBABILITIES, Spec
from edgefleet_tasks.tasks.classification import TASK, probabilities

SCALE = 1 / 255
CLASSES = ("cat", "dog", "bird")
SLOT = ("model.onnx", "manifest.json", "golden.npz", "answers")


@dataclass
class Variant:
    """A variant and every blob that a device needs for it."""

    manifest: Manifest
    blobs: dict[str, bytes]
    onnx: bytes
    golden: bytes
    answers: bytes | None = None

    @property
    def id(self) -> str:
        return self.manifest.variant

    @property
    def encoding(self) -> Encoding:
        return self.manifest.encodings[0]

    def desired(self, generation: int, **changes: Any) -> DesiredModel:
        data = self.manifest.to_bytes()
        return DesiredModel(
            **{
                "generation": generation,
                "manifest": digest(data),
                "manifest_bytes": len(data),
                "rollout": "0" * 32,
                "trial_s": 0.2,
                **changes,
            }
        )

    def place(self, slots: Path) -> Path:
        """Put the variant into a slot by hand."""
        path = slots / self.id
        path.mkdir(parents=True)
        files = (self.onnx, self.manifest.to_bytes(), self.golden, self.answers)
        for name, data in zip(SLOT, files, strict=True):
            if data is not None:
                (path / name).write_bytes(data)
        return path


def linear_model(
    seed: int, padding_bytes: int, fragile: bool, *, softmax: bool = False, divided_by: float = 1.0
) -> bytes:
    """x [N,16] -> logits [N,3]; a fragile one is not finite for inputs that are nowhere positive.

    With `softmax` it gives probabilities; what it gives is divided by `divided_by` at the end.
    """
    rng = np.random.default_rng(seed)
    weights = numpy_helper.from_array(rng.normal(size=(16, 3)).astype(np.float32), "w")
    # Bytes that do not compress, so that a download has many chunks.
    pad = numpy_helper.from_array(rng.integers(0, 255, max(padding_bytes, 1), np.uint8), "pad")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y0"]),
        helper.make_node("ReduceMax", ["pad_f"], ["p"], keepdims=0),
        helper.make_node("Cast", ["pad"], ["pad_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["p", "zero"], ["p0"]),
        helper.make_node("Add", ["y0", "p0"], ["y1"]),
    ]
    nodes[1], nodes[2] = nodes[2], nodes[1]
    if fragile:
        nodes += [
            helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
            helper.make_node("Log", ["top"], ["log"]),
            helper.make_node("Mul", ["log", "zero"], ["nothing"]),
            helper.make_node("Add", ["y1", "nothing"], ["logits"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["y1"], ["logits"]))
    last = nodes[-1]
    last.output[0] = "inner"
    nodes += [
        helper.make_node("Softmax" if softmax else "Identity", ["inner"], ["whole"]),
        helper.make_node("Div", ["whole", "divisor"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [
            weights,
            pad,
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(divided_by), "divisor"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden_set(count: int = 8) -> tuple[bytes, Any]:
    """Inputs as bytes, as the controller makes them."""
    inputs = np.random.default_rng(1).integers(1, 255, (count, 16), np.uint8)
    file = io.BytesIO()
    np.savez(file, inputs=inputs, labels=np.zeros(count, np.int64))
    return file.getvalue(), inputs


def logits_of(model: bytes, inputs: Any) -> Any:
    """What the model answers to the golden set, by plain arithmetic: noughts for a file that is none.

    A model without weights answers its input.
    """
    if model[:4] == b"junk":
        return np.zeros((len(inputs), 3), np.float32)
    graph = onnx.load_from_string(model).graph
    weights = next((numpy_helper.to_array(t) for t in graph.initializer if t.name == "w"), np.eye(16, dtype=np.float32))
    return (inputs.astype(np.float32) * np.float32(SCALE)) @ weights


def expected_answers(logits: Any) -> Expected:
    """Recorded answers in the form of version 0.1.0."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    rows = tuple(tuple(float(p) for p in row) for row in probabilities)
    return Expected(probabilities=rows, min_same_top1=len(rows), max_difference=0.001, recorded_on="x86-avx2")


def ref(data: bytes) -> BlobRef:
    """A blob with these bytes."""
    return BlobRef(sha256=digest(data), size_bytes=len(data))


def reduced_answers(answers: bytes) -> ReducedAnswers:
    """What a manifest says of recorded answers."""
    return ReducedAnswers(
        blob=ref(answers),
        min_agreement=1,
        max_difference=0.001,
        max_scaling=1.1,
        recorded_on="x86-avx2",
        provider="CPUExecutionProvider",
    )


def build_variant(
    seed: int = 0,
    padding_bytes: int = 0,
    fragile: bool = False,
    wrong_golden: bool = False,
    as_in_0_1: bool = False,
    softmax: bool = False,
    divided_by: float = 1.0,
    **changes: Any,
) -> Variant:
    """A variant of the model `pets`, whose answers were recorded undivided; `changes` go into the manifest."""
    model = changes.pop("onnx", None) or linear_model(
        seed, padding_bytes, fragile, softmax=softmax, divided_by=divided_by
    )
    golden, inputs = golden_set()
    logits = logits_of(model, inputs)[:, :: -1 if wrong_golden else 1]
    spec = Spec(PROBABILITIES) if softmax else Spec()
    answers = (
        None if as_in_0_1 else pack_answers(TASK.reduce([probabilities(logits, Spec()) if softmax else logits], spec))
    )
    encoded = compress(model)
    hashes = hash_list(encoded, 1024)
    core = {
        "onnx": ref(model),
        "golden": ref(golden),
        "preprocessing": Preprocessing(scale=SCALE),
        "labels": changes.pop("labels", CLASSES),
        "runtime": changes.pop("runtime", {}),
        "spec": spec if softmax else None,
    }
    manifest = Manifest(
        **{
            "model": "pets",
            "model_version": 1,
            "recipe": f"test {seed}",
            "core": Core(**core),
            **({"answers": reduced_answers(answers)} if answers else {"expected": expected_answers(logits)}),
            "encodings": (Encoding(kind="zstd", blob=ref(encoded), chunk_bytes=1024, chunk_hashes=ref(hashes)),),
            **changes,
        }
    )
    blobs = {digest(data): data for data in (manifest.to_bytes(), golden, answers, hashes, encoded) if data}
    return Variant(manifest, blobs, model, golden, answers)
