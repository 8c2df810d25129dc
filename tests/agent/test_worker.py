"""The real worker process: what it answers, and that nothing a model or a kill does reaches the caller."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgefleet_agent import worker_main
from edgefleet_agent.answering import Answering, Trouble
from edgefleet_agent.checks import check_golden, tolerance
from edgefleet_agent.errors import ModelFailed, OutOfMemory, RequestError, SlotRotten, WorkerDied, WorkerTimedOut
from edgefleet_agent.placed import NotFinite, Placed
from edgefleet_agent.self_test import golden_order
from edgefleet_agent.worker_handle import (
    LOAD_TIMEOUT_S,
    Worker,
    WorkerSpec,
    load_timeout_s,
)
from edgefleet_protocol.canonical import digest

TENSORS = [{"name": "x", "datatype": "FP32", "shape": [1, 16]}]


def tensor_bytes(value: float = 1.0) -> bytes:
    return np.full(16, value, np.float32).tobytes()


def test_it_answers_with_logits_that_are_finite(place: Callable[..., Placed]) -> None:
    answer = place().ask(TENSORS, tensor_bytes())
    assert answer.outputs == [{"name": "logits", "datatype": "FP32", "shape": [1, 3]}]
    assert not answer.not_finite and len(answer.data) == answer.sizes[0] == 12


def test_its_golden_answers_are_the_recorded_ones(place: Callable[..., Placed], tmp_path: Path) -> None:
    placed = place()
    reply = placed.worker.self_test(golden_order(placed.manifest, tmp_path / "slots" / placed.slot.variant))
    assert (reply["count"], reply["agreement"]) == (8, 1)
    assert reply["difference"] < 1e-4
    assert reply["scaling"] == pytest.approx(1)
    check_golden(tolerance(placed.manifest), reply)


def test_inputs_that_are_not_finite_are_the_requests_fault(place: Callable[..., Placed]) -> None:
    with pytest.raises(RequestError, match="not finite"):
        place().ask(TENSORS, tensor_bytes(float("nan")))


def test_a_file_that_is_no_model_fails_to_load(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"junk")
    with pytest.raises(ModelFailed):
        Worker(WorkerSpec(tmp_path / "model.onnx", {}))


def test_a_large_file_may_take_longer_to_load(tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(500_000_000)
    assert load_timeout_s(large) == LOAD_TIMEOUT_S + 50
    assert load_timeout_s(tmp_path / "absent.onnx") == LOAD_TIMEOUT_S


def hostile_model(size: int) -> bytes:
    """x [1] -> zeros of `size` floats: a few bytes of file, any amount of memory."""
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [size])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_a_model_that_takes_all_memory_fails_at_its_limit(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(hostile_model(2**31))
    began_s = time.monotonic()
    with pytest.raises(OutOfMemory):
        worker = Worker(WorkerSpec(tmp_path / "model.onnx", {}))
        try:
            worker.ask([{"name": "x", "datatype": "FP32", "shape": [1]}], bytes(4))
        finally:
            worker.kill()
    assert time.monotonic() - began_s < 30


def test_weights_of_four_bits_get_the_memory_that_they_take_once_they_are_unfolded(tmp_path: Path) -> None:
    weights = 2**24
    spec = WorkerSpec(tmp_path / "model.onnx", {})
    spec.path.write_bytes(four_bit_model(weights))
    with pytest.raises(OutOfMemory):
        Worker(spec)
    worker = Worker(replace(spec, unfolded_bytes=4 * weights))
    answer = worker.ask([{"name": "x", "datatype": "FP32", "shape": [1, 1024]}], bytes(4096))
    worker.kill()
    assert not answer.not_finite


def four_bit_model(weights: int) -> bytes:
    """x [1,1024] -> y; half a byte of file for each weight, four of memory."""
    shape = (1024, weights // 1024)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["q"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["c", "s"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "four bits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1024])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, shape[1]])],
        [
            helper.make_tensor("q", TensorProto.INT4, shape, random.Random(0).randbytes(weights // 2), raw=True),
            helper.make_tensor("s", TensorProto.FLOAT, [1], [0.1]),
        ],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    )


@pytest.mark.parametrize("rot", [lambda path: path.write_bytes(b"junk"), Path.unlink], ids=["changed", "gone"])
def test_a_file_that_is_not_what_it_was_is_never_loaded(tmp_path: Path, rot: Callable[[Path], Any]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hostile_model(4))
    spec = WorkerSpec(path, {}, sha256=digest(path.read_bytes()))
    Worker(spec).kill()
    rot(path)
    with pytest.raises(SlotRotten):
        Worker(spec)


def test_a_sample_of_the_golden_set_must_be_answered_in_the_time_that_a_client_waits(
    place: Callable[..., Placed], tmp_path: Path
) -> None:
    placed = place()
    placed.worker.ask_timeout_s = 0.5
    os.kill(placed.worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerTimedOut):
        placed.worker.self_test(golden_order(placed.manifest, tmp_path / "slots" / placed.slot.variant))


def test_a_hung_worker_is_killed_at_its_deadline(place: Callable[..., Placed]) -> None:
    worker = place().worker
    worker.ask_timeout_s = 0.3
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerTimedOut):
        worker.ask(TENSORS, tensor_bytes())
    assert worker._process.status == -signal.SIGKILL
    assert not worker.alive


def test_a_dead_worker_says_so_at_once(place: Callable[..., Placed]) -> None:
    worker = place().worker
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        worker.ask(TENSORS, tensor_bytes())


def test_workers_end_with_their_supervisor_even_in_the_middle_of_a_run(tmp_path: Path) -> None:
    # A sleeping supervisor holds two workers; it is killed, and nobody tells them.
    (tmp_path / "model.onnx").write_bytes(hostile_model(4))
    code = (
        "import sys, time; from pathlib import Path; from edgefleet_agent.worker_handle import Worker, WorkerSpec\n"
        "spec = WorkerSpec(Path(sys.argv[1]), {}); workers = [Worker(spec), Worker(spec)]\n"
        "print(*(w.pid for w in workers), flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "model.onnx")], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    pids = [int(pid) for pid in supervisor.stdout.readline().split()]
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    deadline = time.monotonic() + 10
    while any(state_of(pid) != "Z" for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pids) == 2 and [state_of(pid) for pid in pids] == ["Z", "Z"]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_a_client_never_notices_a_workers_death(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place())
    for _ in range(2):
        assert answering.live
        os.kill(answering.live.worker.pid, signal.SIGKILL)
        answer, placed = answering.ask(TENSORS, tensor_bytes())
        assert not answer.not_finite and placed is answering.live


def test_a_worker_that_dies_again_and_again_is_not_started_for_ever(
    place: Callable[..., Placed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefleet_agent.placed.RESTART_PAUSE_S", 600.0)  # three starts, however slow, fall into it
    placed = place()
    for _ in range(3):
        placed.worker.kill()
        placed.revive()
    placed.worker.kill()
    with pytest.raises(WorkerDied, match="3 times"):
        placed.revive()


def test_in_a_trial_a_crash_is_answered_by_the_old_variant_and_ends_the_trial(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    old, new = place(seed=0), place(seed=1, generation=2)
    answering.serve(old)
    answering.begin_trial(new)
    assert answering.ask(TENSORS, tensor_bytes())[1] is new
    os.kill(new.worker.pid, signal.SIGKILL)
    assert answering.ask(TENSORS, tensor_bytes())[1] is old
    assert [(t.slot, t.reason) for t in troubles] == [(new.slot, "worker_crashed")]
    assert answering.live is old


def test_who_waited_behind_a_request_that_hung_learns_of_a_timeout(place: Callable[..., Placed]) -> None:
    worker = place(seed=0).worker
    worker.ask_timeout_s = 0.5
    os.kill(worker.pid, signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(WorkerTimedOut):
            worker.ask(TENSORS, tensor_bytes())


def test_in_a_trial_that_hangs_every_client_is_answered_by_the_old_variant(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    old, new = place(seed=0), place(seed=1, generation=2)
    new.worker.ask_timeout_s = 1.0
    answering.serve(old)
    answering.begin_trial(new)
    began_s = time.monotonic()
    os.kill(new.worker.pid, signal.SIGSTOP)
    answered: list[Placed] = []
    clients = [
        threading.Thread(target=lambda: answered.append(answering.ask(TENSORS, tensor_bytes())[1])) for _ in range(4)
    ]
    for one in clients:
        one.start()
    time.sleep(0.2)
    assert began_s <= new.asked_since_s < time.monotonic(), "what is not answered yet can be seen"
    while any(one.is_alive() for one in clients):
        answering.check()  # a look in between finds a dead worker, and leaves it to whoever waited for its answer
    assert answered == [old] * 4
    assert [(t.slot, t.reason) for t in troubles] == [(new.slot, "worker_timed_out")]


def test_in_a_trial_an_answer_that_is_not_finite_is_answered_by_the_old_one(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    old = place(seed=0)
    answering.serve(old)
    answering.begin_trial(place(seed=1, fragile=True, generation=2))
    answer, placed = answering.ask(TENSORS, tensor_bytes(-1.0))
    assert not answer.not_finite and placed is old and answering.live is old
    assert [(t.reason, t.not_finite) for t in troubles] == [("trial_failed", True)]


def test_in_a_trial_both_workers_may_die_and_the_client_is_still_answered(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: None)
    old, new = place(seed=0), place(seed=1)
    answering.serve(old)
    answering.begin_trial(new)
    for placed in (old, new):
        os.kill(placed.worker.pid, signal.SIGKILL)
    assert answering.ask(TENSORS, tensor_bytes())[1] is old


def test_what_both_variants_cannot_answer_is_not_the_trials_fault(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(seed=0, fragile=True))
    new = place(seed=1, fragile=True)
    answering.begin_trial(new)
    with pytest.raises(NotFinite):
        answering.ask(TENSORS, tensor_bytes(-1.0))
    assert answering.live is new


def test_a_first_variant_that_fails_in_its_trial_leaves_nothing_answering(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    answering.begin_trial(place(fragile=True))
    with pytest.raises(NotFinite):
        answering.ask(TENSORS, tensor_bytes(-1.0))
    assert answering.live is None and len(troubles) == 1
    with pytest.raises(RequestError, match="not ready"):
        answering.ask(TENSORS, tensor_bytes())


def test_once_a_trial_has_ended_no_failure_leads_back(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(seed=0))
    new = place(seed=1)
    answering.begin_trial(new)
    assert answering.end_trial() is new
    os.kill(new.worker.pid, signal.SIGKILL)
    assert answering.ask(TENSORS, tensor_bytes())[1] is new
    answering.commit()
    assert answering.live is new


def test_switching_under_load_costs_no_answer(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(seed=0))
    stop, failures, answered = threading.Event(), [], [0]

    def client() -> None:
        while not stop.is_set():
            try:
                answering.ask(TENSORS, tensor_bytes(random.random()))
                answered[0] += 1
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(2)]
    for one in clients:
        one.start()
    for seed in (1, 2):
        answering.begin_trial(place(seed=seed))
        time.sleep(0.1)
        answering.commit()
    answering.begin_trial(place(seed=3))
    answering.roll_back()
    time.sleep(0.1)
    stop.set()
    for one in clients:
        one.join()
    assert failures == [] and answered[0] > 50


def test_the_model_files_of_these_tests_are_valid(make_variant: Callable[..., Any]) -> None:
    onnx.checker.check_model(onnx.load_from_string(make_variant(fragile=True).onnx))


def test_a_limit_of_cpu_time_is_renewed_for_every_length_and_not_for_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(worker_main.resource, "setrlimit", lambda _which, pair: limits.append(pair[0]))
    limit = worker_main.CpuLimit()
    for seconds in (10, 10, 10, 60):
        limit.renew(seconds)
    assert len(limits) == 2
    used_s = time.process_time()
    assert 10 < limits[0] - used_s <= 12 and 60 < limits[1] - used_s <= 62
    monkeypatch.setattr(worker_main, "RENEW_S", 0.0)
    limit.renew(60)
    assert len(limits) == 3
