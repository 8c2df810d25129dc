"""A worker's memory follows what was measured, and a request that asks for too much is its client's fault."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.agent.batches import crashes_in_batches, hangs_in_batches, thirsty
from tests.agent.test_checks import FACTS

from edgefleet_agent.answering import Answering, Trouble
from edgefleet_agent.checks import check_memory
from edgefleet_agent.errors import OutOfMemory, Rejected, RequestTooLarge, WorkerDied, WorkerTimedOut
from edgefleet_agent.inference_statistics import Spent
from edgefleet_agent.placed import Placed
from edgefleet_agent.worker_handle import ASK_TIMEOUT_S, Worker, WorkerSpec
from edgefleet_protocol.manifest import Memory
from edgefleet_protocol.messages import Slot

MB = 2**20


@pytest.fixture
def place(tmp_path: Path, make_variant: Callable[..., Any]) -> Iterator[Callable[..., Placed]]:
    """Starts a worker for a model, or a thirsty one of so many values; all end with the test."""
    started: list[Placed] = []

    def start(
        model: int | bytes, address_bytes: int = 0, generation: int = 1, ask_timeout_s: float = ASK_TIMEOUT_S
    ) -> Placed:
        path = tmp_path / f"{len(started)}.onnx"
        path.write_bytes(thirsty(model) if isinstance(model, int) else model)
        spec = WorkerSpec(path, {}, address_bytes=address_bytes)
        slot = Slot(variant=f"{generation}" * 64, manifest="0" * 64, model_version=1, generation=generation)
        started.append(Placed(slot, make_variant().manifest, spec, Worker(spec, ask_timeout_s)))
        return started[-1]

    yield start
    for placed in started:
        placed.kill()


def ask(answering: Answering, rows: int) -> Placed:
    tensors = [{"name": "x", "datatype": "FP32", "shape": [rows, 16]}]
    return answering.ask(tensors, np.ones((rows, 16), np.float32).tobytes())[1]


def test_a_small_file_with_large_activations_answers_within_what_was_measured(place: Callable[..., Placed]) -> None:
    values = 24 * MB  # 96 MB, twice, from a file of a few hundred bytes
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(values))
    with pytest.raises(OutOfMemory):
        ask(answering, 1)
    answering.serve(place(values, address_bytes=200 * MB))
    ask(answering, 1)


def test_a_request_that_is_too_large_is_told_what_was_answered_before(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    placed = place(MB // 16)
    answering.serve(placed)
    for _ in range(2):  # the second time nobody asks the worker
        with pytest.raises(
            RequestTooLarge, match=r"input of 320,000 bytes .* send 1 row of 64 bytes at a time"
        ) as refused:
            ask(answering, 5000)
        assert refused.value.status == 413
    ask(answering, 3)
    with pytest.raises(RequestTooLarge, match="send 3 rows of 64 bytes at a time"):
        ask(answering, 5000)
    assert answering.live is placed and placed.worker.alive
    ask(answering, 1)


def test_in_a_trial_the_old_variant_says_whether_the_request_was_too_large(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    old, new = place(MB // 8), place(2 * MB, generation=2)
    answering.serve(old)
    answering.begin_trial(new)
    with pytest.raises(RequestTooLarge):
        ask(answering, 400)
    assert answering.live is new and troubles == []
    assert ask(answering, 16) is old, "the new one cannot, the old one can"
    assert [trouble.reason for trouble in troubles] == ["out_of_memory"]
    assert answering.live is old


def test_a_variant_that_fails_where_another_one_answered_is_at_fault(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(MB // 8))
    ask(answering, 16)
    answering.serve(place(2 * MB))
    with pytest.raises(OutOfMemory):
        ask(answering, 16)


def test_a_variant_that_crashes_in_batches_within_its_limits_is_at_fault(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(crashes_in_batches()))
    with pytest.raises(WorkerDied, match="status -8") as died:
        ask(answering, 2)
    assert not died.value.of_memory
    ask(answering, 1)
    with pytest.raises(WorkerDied):
        ask(answering, 2)


def test_in_a_trial_a_crash_in_batches_leads_back_although_the_old_one_never_answered_any(
    place: Callable[..., Placed],
) -> None:
    troubles: list[Trouble] = []
    answering = Answering(troubles.append)
    old = place(16)
    answering.serve(old)
    answering.begin_trial(place(crashes_in_batches(), generation=2))
    assert ask(answering, 2) is old
    assert [trouble.reason for trouble in troubles] == ["worker_crashed"]


def test_a_batch_that_hangs_is_the_variants_fault_once_a_sample_was_quick(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    answering.serve(place(hangs_in_batches(), ask_timeout_s=0.5))
    with pytest.raises(RequestTooLarge, match="send 1 row"):  # how long a sample takes is not known yet
        ask(answering, 2)
    answering.serve(place(hangs_in_batches(), ask_timeout_s=0.5))
    answered(answering, seconds=0.01)
    with pytest.raises(WorkerTimedOut):
        ask(answering, 2)
    with pytest.raises(RequestTooLarge):
        ask(answering, 20)


def answered(answering: Answering, seconds: float) -> None:
    """Note an answer of one sample that took so long."""
    assert answering.live
    answering.live.statistics.answered(Spent(0, 0, seconds, 0), 1, 0)


def test_a_worker_that_the_system_ended_ran_out_of_memory(place: Callable[..., Placed]) -> None:
    placed = place(16)
    os.kill(placed.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied) as died:
        placed.ask([{"name": "x", "datatype": "FP32", "shape": [1, 16]}], bytes(64))
    assert died.value.of_memory


@pytest.mark.parametrize(("resident_mb", "fits"), [(255, True), (257, False)])
def test_what_cannot_fit_beside_the_old_variant_is_refused_before_the_trial(
    make_variant: Callable[..., Any], resident_mb: int, fits: bool
) -> None:
    memory = Memory(resident_bytes=resident_mb * MB, address_bytes=resident_mb * MB)
    manifest = make_variant(memory=memory).manifest
    facts = FACTS.model_copy(update={"ram_mb": 512})
    if fits:
        check_memory(manifest, facts)
        return
    with pytest.raises(
        Rejected,
        match=f"took {resident_mb * MB} bytes .* half of the {512 * MB} here, also where",
    ) as refused:
        check_memory(manifest, facts)
    assert refused.value.reason == "out_of_memory"
