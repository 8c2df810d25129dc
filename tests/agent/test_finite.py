"""NaN and infinity in answers: an error where the task reads them or a sequence would carry them, else passed on."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgefleet_agent import inference_protocol
from edgefleet_agent.checks import Tolerance, check_golden
from edgefleet_agent.errors import RequestError
from edgefleet_agent.placed import NotFinite
from edgefleet_agent.worker_handle import GoldenOrder, Worker, WorkerAnswer, WorkerSpec
from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState, StatePair
from edgefleet_tasks.tasks.classification import TASK

TOLERANCE = Tolerance(min_agreement=0.9, max_difference=0.25, max_scaling=2.0)
X = np.linspace(0.5, 2, 12, dtype=np.float32).reshape(4, 3)
SPEC = Spec(width=3)


def two_headed(*, read: str = "x", other: str = "log") -> bytes:
    """x [n,3] -> logits, masked: `log` is -inf at noughts and NaN below, `x` never is either."""
    nodes = [
        helper.make_node("Log", ["x"], ["log"]),
        helper.make_node("Identity", [read], ["logits"]),
        helper.make_node("Identity", [other], ["masked"]),
    ]
    named = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "logits", "masked")]
    graph = helper.make_graph(nodes, "two", named[:1], named[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def running_out() -> bytes:
    """x, h -> logits, hn: hn = log(x) + h, which no logit shows."""
    nodes = [
        helper.make_node("Log", ["x"], ["log"]),
        helper.make_node("Add", ["log", "h"], ["hn"]),
        helper.make_node("Identity", ["x"], ["logits"]),
    ]
    named = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in ("x", "h", "logits", "hn")}
    graph = helper.make_graph(nodes, "s", [named["x"], named["h"]], [named["logits"], named["hn"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts a worker for a model; all end with the test."""
    started: list[Worker] = []

    def begin(model: bytes, task: str = "classification", **more: Any) -> Worker:
        path = tmp_path / f"{len(started)}.onnx"
        path.write_bytes(model)
        spec = SPEC.told() if task == "classification" else {}
        scorer = json.dumps({"task": task, "spec": spec, "labels": []})
        started.append(Worker(WorkerSpec(path, {}, scorer=scorer, **more)))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()


def ask(worker: Worker, x: Any, state: bytes = b"") -> WorkerAnswer:
    x = np.asarray(x, np.float32).reshape(-1, 3)
    return worker.ask([{"name": "x", "datatype": "FP32", "shape": list(x.shape)}], x.tobytes() + state)


def self_tested(worker: Worker, folder: Path, inputs: Any, task: str = "classification") -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, inputs=inputs)
    (folder / "golden.npz").write_bytes(file.getvalue())
    answers = pack_answers(TASK.reduce([inputs.reshape(-1, 3)], SPEC))
    told = {"task": task, "labels": [], "scale": 1.0, "golden": str(folder / "golden.npz"), "form": "reduced"}
    return worker.self_test(GoldenOrder({**told, "spec": SPEC.told() if task == "classification" else {}}, answers))


def test_what_the_task_does_not_read_may_be_infinite_live_and_in_the_self_test(start: Start, tmp_path: Path) -> None:
    worker, x = start(two_headed()), X.copy()
    x[1] = [0, 1, -1]
    answer = ask(worker, x)
    assert not answer.not_finite
    masked = np.frombuffer(answer.data[answer.sizes[0] :], np.float32).reshape(4, 3)
    assert masked[1, 0] == -np.inf and np.isnan(masked[1, 2])
    check_golden(TOLERANCE, self_tested(worker, tmp_path, x))


@pytest.mark.parametrize(("task", "read", "named"), [("classification", "log", "logits"), ("outputs", "x", "masked")])
def test_what_it_reads_is_refused_alike_live_and_in_the_self_test_by_its_name(
    start: Start, tmp_path: Path, task: str, read: str, named: str
) -> None:
    worker, x = start(two_headed(read=read), task), X.copy()
    assert not ask(worker, x).not_finite
    x[1, 0] = 0
    told = f"output '{named}' is not finite: it has NaN or infinity"
    assert ask(worker, x).not_finite == told
    assert self_tested(worker, tmp_path, x, task)["refused"] == f"in an answer to the golden set, {told}"


def test_a_state_that_is_not_finite_is_refused_alike_live_and_in_the_self_test(start: Start, tmp_path: Path) -> None:
    tensors = [Tensor(name, "FP32", (1, 3), batched=name not in ("h", "hn")) for name in ("x", "h", "logits", "hn")]
    state = SequenceState((StatePair("h", "hn"),))
    worker = start(running_out(), signature=Signature(tuple(tensors[:2]), tuple(tensors[2:])), state=state)
    assert not ask(worker, X[0]).not_finite
    told = "output 'hn' is not finite: it has NaN or infinity"
    assert ask(worker, [0, 1, 1]).not_finite == told
    sequences = X[None].copy()
    check_golden(TOLERANCE, self_tested(worker, tmp_path, sequences))
    sequences[0, 3, 0] = 0
    assert self_tested(worker, tmp_path, sequences)["refused"] == f"in an answer to the golden set, {told}"


def told_of(worker: Worker, x: Any, **head: Any) -> tuple[bytes, int | None]:
    body = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": list(x)}], **head}
    ).encode()
    request = inference_protocol.parse(body, None, worker.signature)
    answer = worker.ask(request.tensors, request.data)
    assert not answer.not_finite
    return inference_protocol.reply(answer, request, {}, ())


def test_json_cannot_say_what_is_infinite_and_bytes_can(start: Start) -> None:
    worker = start(two_headed())
    for x in ([0, 1, 1], [-1, 1, 1]):
        with pytest.raises(
            RequestError, match=r"output 'masked' has NaN or infinity.* ask for it as binary data"
        ) as told:
            told_of(worker, x)
        assert told.value.status == 400
        data, head = told_of(
            worker, x, outputs=[{"name": "logits"}, {"name": "masked", "parameters": {"binary_data": True}}]
        )
        assert head is not None and not np.isfinite(np.frombuffer(data[head:], np.float32)[0])
        json.loads(data[:head], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        told_of(worker, x, outputs=[{"name": "logits"}])
    best = [{"name": "masked", "parameters": {"classification": 2}}]
    assert b"0.000000:1" in told_of(worker, [0, 1, 1], outputs=best)[0]
    with pytest.raises(RequestError, match="output 'masked' has NaN, which has no place among classes"):
        told_of(worker, [-1, 1, 1], outputs=best)


def test_an_answer_that_is_not_finite_where_it_is_read_is_the_models_failure(place: Callable[..., Any]) -> None:
    x = np.full((1, 16), -1, np.float32)
    with pytest.raises(NotFinite, match="output 'logits' is not finite"):
        place(fragile=True).ask([{"name": "x", "datatype": "FP32", "shape": [1, 16]}], x.tobytes())
