"""Self-tests in the worker: what passes and what does not, whatever a model gives and a manifest says."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefleet_agent.checks import Tolerance, check_golden
from edgefleet_agent.errors import Rejected
from edgefleet_agent.golden_run import GoldenRun
from edgefleet_agent.stepping import SteppedModel
from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, Spec
from edgefleet_tasks.tasks.classification import TASK

TOLERANCE = Tolerance(min_agreement=0.9, max_difference=0.25, max_scaling=2.0)
SAMPLES = np.random.default_rng(0).integers(0, 255, (8, 4), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3))


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def as_logits(x: Any) -> Any:
    return x @ WEIGHTS


def as_probabilities(x: Any) -> Any:
    return softmax(x @ WEIGHTS)


class Session:
    """Stands in for onnxruntime's session."""

    def __init__(self, model: Callable[[Any], Any]) -> None:
        self._model = model

    def run(self, _: list[str], feed: dict[str, Any]) -> list[Any]:
        return [np.asarray(self._model(feed["x"]), np.float32)]


def golden_file(folder: Path, **arrays: Any) -> Path:
    path = folder / "golden.npz"
    np.savez(path, **(arrays or {"inputs": SAMPLES}))
    return path


def run(
    golden: Path,
    model: Callable[[Any], Any],
    recorded: bytes,
    *,
    classes: int = 3,
    outputs: str = LOGITS,
    **order: Any,
) -> dict[str, Any]:
    """What a worker replies at the end of a self-test."""
    signature = Signature((Tensor("x", "FP32", (None, 4)),), (Tensor("y", "FP32", (None, classes)),))
    order = {"form": "reduced", "spec": {"outputs": outputs}, "task": "classification", "labels": [], **order}
    order |= {"golden": str(golden), "scale": 1 / 255}
    test = GoldenRun(SteppedModel(Session(model), signature, None), order, recorded)
    reply = test.go_on()
    while reply.get("more"):
        reply = test.go_on()
    return reply


def recorded_by(model: Callable[[Any], Any], outputs: str) -> bytes:
    x = SAMPLES.astype(np.float32) * np.float32(1 / 255)
    return pack_answers(TASK.reduce([model(x)], Spec(outputs)))


MODELS = [(as_logits, LOGITS), (as_probabilities, PROBABILITIES), (lambda x: as_logits(x) / 1000, LOGITS)]


@pytest.mark.parametrize(("model", "outputs"), MODELS)
def test_a_model_passes_by_its_own_answers_and_fails_with_them_divided_by_100(
    tmp_path: Path, model: Callable[[Any], Any], outputs: str
) -> None:
    golden, recorded = golden_file(tmp_path), recorded_by(model, outputs)
    check_golden(TOLERANCE, run(golden, model, recorded, outputs=outputs))
    for factor in (0.01, 100.0):
        scaled = run(golden, lambda x, by=factor: model(x) * by, recorded, outputs=outputs)
        with pytest.raises(Rejected, match=r"scaled by (99|100)\."):
            check_golden(TOLERANCE, scaled)


def test_answers_that_version_0_1_recorded_are_compared_as_it_did(tmp_path: Path) -> None:
    golden, x = golden_file(tmp_path), SAMPLES / np.float32(255)
    for model in (as_logits, as_probabilities):  # it took the softmax of either
        recorded = json.dumps(softmax(model(x)).round(4).tolist()).encode()
        check_golden(TOLERANCE, run(golden, model, recorded, form="expected"))
        with pytest.raises(Rejected, match="match the recorded ones"):
            check_golden(TOLERANCE, run(golden, lambda x, m=model: np.roll(m(x), 1, axis=1), recorded, form="expected"))


RECORDED = recorded_by(as_logits, LOGITS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recorded": b""}, "no blob of answers"),
        ({"recorded": RECORDED[:-1]}, "cannot be compared"),
        ({"recorded": pack_answers([])}, "8 answers were given, 0 are recorded"),
        ({"recorded": pack_answers([b"x"] * 8)}, "no reduced answer"),
        ({"recorded": b"[[0.5, 0.5]]", "form": "expected"}, r"they are \[1, 2\], the model's \[8, 3\]"),
        ({"recorded": b"[[0.5], [0.5, 0.5]]", "form": "expected"}, "cannot be compared"),
        ({"recorded": b"{", "form": "expected"}, "cannot be compared"),
        ({"recorded": b"null", "form": "expected"}, "cannot be compared"),
        ({"outputs": "odds"}, "not 'odds'"),
        ({"task": "detector"}, "there is no task 'detector'"),
        ({"labels": ["cat", "dog"]}, "2 labels are named, but the model answers 3 classes"),
    ],
)
def test_recorded_answers_that_are_none_are_refused_in_our_words(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    reply = run(golden_file(tmp_path), as_logits, **{"recorded": RECORDED, **changes})
    with pytest.raises(Rejected, match=told):
        check_golden(TOLERANCE, reply)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"inputs": SAMPLES[:0]}, "is empty"),
        ({"inputs": np.float32(1)}, "is a single number"),
        ({"labels": np.zeros(3)}, "has no array 'inputs/0'"),
        ({"inputs": np.array([None])}, "cannot be read"),
    ],
)
def test_a_golden_set_with_nothing_in_it_fails(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    reply = run(golden_file(tmp_path, **arrays), as_logits, pack_answers([]))
    with pytest.raises(Rejected, match=told):
        check_golden(TOLERANCE, reply)


@pytest.mark.parametrize("data", [b"", b"PK", io.BytesIO().getvalue(), b"x" * 1000])
def test_a_golden_set_that_is_no_archive_fails(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "golden.npz").write_bytes(data)
    assert "cannot be read" in run(tmp_path / "golden.npz", as_logits, RECORDED)["refused"]


def test_answers_that_are_not_finite_fail(tmp_path: Path) -> None:
    reply = run(golden_file(tmp_path), lambda x: as_logits(x) * np.nan, RECORDED)
    with pytest.raises(Rejected, match="not finite"):
        check_golden(TOLERANCE, reply)


def test_a_slow_model_is_answered_a_slice_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefleet_agent.golden_run.SLICE_S", 0.0)
    asked = []
    reply = run(golden_file(tmp_path), lambda x: (asked.append(len(x)), as_logits(x))[1], RECORDED)
    assert (reply["count"], reply["agreement"], asked) == (8, 1, [1] * 8)
