"""One memory budget for all models of a device: what does not fit is refused with the figures, and nobody notices."""

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.test_agent import commit

from edgefleet_agent.errors import Rejected
from edgefleet_agent.own_memory import WORKER_MB, budget_of, system_limit_mb
from edgefleet_agent.placed import Placed
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_agent.worker_memory import BYTES_PER_THREAD
from edgefleet_agent.worker_room import WorkerRoom, held_model
from edgefleet_protocol.manifest import Memory
from edgefleet_protocol.memory_budget import HeldModel, needed_mb, refusal
from edgefleet_protocol.messages import MemoryBudget, Slot

Make = Callable[..., Any]
MB = 2**20
BUDGET = MemoryBudget(budget_mb=400, agent_mb=50, worker_mb=80)


def test_what_is_needed_is_the_agent_and_each_worker_with_its_model() -> None:
    held = [HeldModel("pets", 2, 30), HeldModel("pets", 1, 20), HeldModel("dogs", 1, None)]
    assert needed_mb(BUDGET, []) == 50
    assert needed_mb(BUDGET, held) == 50 + 3 * 80 + 50


def test_a_variant_fits_up_to_the_last_megabyte_and_is_refused_with_every_figure() -> None:
    beside = [HeldModel("pets", 1, 20), HeldModel("dogs", 3, 60)]
    assert refusal(BUDGET, HeldModel("pets", 2, 30), beside) is None
    assert refusal(BUDGET, HeldModel("pets", 2, 31), beside) == (
        "the models' memory: pets@2 111 MB, pets@1 100 MB, dogs@3 140 MB and the agent 50 MB are 401 MB, and the "
        "budget is 400 MB; remove a model, take a smaller variant, or raise the agent's memory_mb"
    )


@pytest.mark.parametrize(
    ("given", "budget_mb", "worker_mb"),
    [
        ((512, None, None), 384, WORKER_MB + 24),
        ((8192, None, None), 6144, WORKER_MB + 64),
        ((8192, None, 512), 460, WORKER_MB + 28),
        ((8192, 200, 512), 200, WORKER_MB + 16),
    ],
)
def test_the_budget_follows_the_memory_the_limit_and_the_operator(
    given: tuple[int, int | None, int | None], budget_mb: int, worker_mb: int
) -> None:
    found = budget_of(*given)
    assert (found.budget_mb, found.worker_mb) == (budget_mb, worker_mb)


def test_the_smallest_limit_of_all_control_groups_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("1:name=x:/\n0::/system.slice/edgefleet.service\n")
    inner = tmp_path / "groups" / "system.slice" / "edgefleet.service"
    inner.mkdir(parents=True)
    assert system_limit_mb(tmp_path / "groups", own) is None
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text(f"{512 * MB}\n")
    assert system_limit_mb(tmp_path / "groups", own) == 512
    (inner / "memory.max").write_text(f"{256 * MB}\n")
    assert system_limit_mb(tmp_path / "groups", own) == 256
    assert system_limit_mb(tmp_path / "groups", tmp_path / "none") is None


def test_what_was_not_measured_counts_by_its_size(make_variant: Make) -> None:
    assert held_model(make_variant(padding_bytes=10 * MB).manifest).mb == 41
    measured = Memory(resident_bytes=7 * MB, address_bytes=5 * MB)
    assert held_model(make_variant(memory=measured).manifest).mb == 7


@pytest.fixture
def start(tmp_path: Path, make_variant: Make) -> Iterator[Callable[..., Placed]]:
    """Starts workers in a room, as a device does."""
    started: list[Placed] = []

    def begin(workers: WorkerRoom, **variant: Any) -> Placed:
        made = make_variant(**variant)
        path = tmp_path / made.id
        path.write_bytes(made.onnx)
        slot = Slot(variant=made.id, manifest="0" * 64, model_version=1, generation=1)
        room = workers.take(made.manifest)
        spec = workers.limited(room, WorkerSpec(path, {}))
        room.placed = Placed(slot, made.manifest, spec, Worker(spec))
        started.append(room.placed)
        return room.placed

    yield begin
    for placed in started:
        placed.kill()


def left_mb(placed: Placed) -> float:
    """What a worker may take beside what it took by itself."""
    used = int(Path(f"/proc/{placed.worker.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    return (resource.prlimit(placed.worker.pid, resource.RLIMIT_AS)[0] - used) / MB


def test_a_worker_takes_no_more_than_was_counted_before_its_model(start: Callable[..., Placed]) -> None:
    placed = start(WorkerRoom(None))
    status = Path(f"/proc/{placed.worker.pid}/status").read_text()
    resident_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert resident_kb / 1024 < WORKER_MB + 16, "a tiny model and the least headroom are in it"


def test_a_worker_gives_back_what_another_one_needs(start: Callable[..., Placed]) -> None:
    workers = WorkerRoom(MemoryBudget(budget_mb=300, agent_mb=40, worker_mb=WORKER_MB + 20))
    first = start(workers, seed=1)
    alone_mb = left_mb(first)
    second = start(workers, seed=2)
    assert left_mb(first) < alone_mb - 30
    limits_mb = sum((one._spec.room_bytes) / MB + WORKER_MB for one in (first, second))
    assert limits_mb + 40 <= 300
    tensors = [{"name": "x", "datatype": "FP32", "shape": [1, 16]}]
    assert first.ask(tensors, bytes(64)).data and second.ask(tensors, bytes(64)).data


def test_there_is_no_room_for_a_third_until_one_has_ended(start: Callable[..., Placed], make_variant: Make) -> None:
    workers = WorkerRoom(MemoryBudget(budget_mb=200, agent_mb=40, worker_mb=WORKER_MB + 16))
    start(workers, seed=1)
    second = start(workers, seed=2)
    with pytest.raises(Rejected, match=r"pets@1 \d+ MB.* and the budget is 200 MB") as refused:
        workers.take(make_variant(seed=3).manifest)
    assert refused.value.reason == "out_of_memory"
    ended = threading.Timer(0.3, second.retire)
    ended.start()
    second._retired = True  # as `retire` says first
    start(workers, seed=3)
    ended.join()


def test_a_worker_that_did_not_start_leaves_its_place(make_variant: Make) -> None:
    workers = WorkerRoom(MemoryBudget(budget_mb=130, agent_mb=40, worker_mb=WORKER_MB + 16))
    room = workers.take(make_variant().manifest)
    with pytest.raises(Rejected):
        workers.take(make_variant().manifest)
    room.given_up = True
    workers.take(make_variant().manifest)


def test_a_limit_never_rises_and_never_ends_a_worker(start: Callable[..., Placed]) -> None:
    placed = start(WorkerRoom(None))
    before_mb = left_mb(placed)
    placed.worker.limit(1000 * MB)
    assert left_mb(placed) == pytest.approx(before_mb, abs=1)
    placed.worker.limit(8 * MB)
    assert left_mb(placed) < 8 + BYTES_PER_THREAD / MB + 1
    os.kill(placed.worker.pid, 0)


@pytest.mark.broker
def test_two_models_fit_a_third_is_rejected_with_the_figures_and_the_others_go_on(
    broker: Any, stand_in: Any, start_agent: Make, make_variant: Make
) -> None:
    agent = start_agent(broker, "--memory", "290")
    first = make_variant(seed=1, memory=Memory(resident_bytes=6 * MB, address_bytes=4 * MB))
    dogs = make_variant(seed=2, model="dogs", memory=Memory(resident_bytes=6 * MB, address_bytes=4 * MB))
    cows = make_variant(seed=3, model="cows", memory=Memory(resident_bytes=90 * MB, address_bytes=80 * MB))
    agent.start()
    commit(agent, stand_in, first)
    told = stand_in.reports[-1].facts.memory
    assert told == MemoryBudget(budget_mb=290, agent_mb=48, worker_mb=74)
    stand_in.desire(dogs.desired(1), dogs, model="dogs")
    stand_in.wait_phase("committed", 1, model="dogs")
    workers = set(agent.workers())
    wants = len(stand_in.wants)
    stand_in.desire(cows.desired(1), cows, model="cows")
    attempt = stand_in.wait_phase("rejected", 1, model="cows").attempt
    assert attempt.reason == "out_of_memory"
    assert "cows@1 164 MB" in attempt.detail and "pets@1 80 MB" in attempt.detail and "dogs@1 80 MB" in attempt.detail
    assert "and the agent 48 MB are 372 MB, and the budget is 290 MB" in attempt.detail
    assert len(stand_in.wants) == wants + 1, "its manifest, and nothing else"
    assert set(agent.workers()) == workers
    for model in ("pets", "dogs"):
        assert agent.call(f"/v2/models/{model}/ready")[0] == 200
    assert agent.infer()[1]["parameters"]["variant"] == first.id
    # In a trial, the old one and the new one both count.
    heavier = make_variant(seed=4, model_version=2, memory=Memory(resident_bytes=9 * MB, address_bytes=4 * MB))
    stand_in.desire(heavier.desired(2), heavier)
    detail = stand_in.wait_phase("rejected", 2).attempt.detail
    assert "pets@2 83 MB, pets@1 80 MB, dogs@1 80 MB and the agent 48 MB are 291 MB" in detail
    lighter = make_variant(seed=4, model_version=2, memory=Memory(resident_bytes=8 * MB, address_bytes=4 * MB))
    commit(agent, stand_in, lighter, 3)
    assert agent.infer()[1]["parameters"]["variant"] == lighter.id


@pytest.mark.broker
def test_two_models_that_switch_at_once_take_turns_where_both_trials_do_not_fit(
    broker: Any, stand_in: Any, start_agent: Make, make_variant: Make
) -> None:
    memory = Memory(resident_bytes=6 * MB, address_bytes=4 * MB)
    agent = start_agent(broker, "--memory", "290")
    agent.start()
    stand_in.wait(lambda heard: heard.reports)
    for version in (1, 2):
        for seed, model in enumerate(("pets", "dogs")):
            made = make_variant(seed=10 * version + seed, model=model, model_version=version, memory=memory)
            stand_in.desire(made.desired(version, trial_s=0.5), made, model=model)
        for model in ("pets", "dogs"):
            stand_in.wait_phase("committed", version, model=model)
    lines = map(json.loads, (agent.state / "journal.jsonl").read_text().splitlines())
    switches = [(one["model"], one["phase"]) for one in lines if one["generation"] == 2]
    switches = [(model, phase) for model, phase in switches if phase in ("self_test", "trial", "committed")]
    first, second = switches[0][0], switches[-1][0]
    assert switches == [(model, phase) for model in (first, second) for phase in ("self_test", "trial", "committed")]


@pytest.mark.broker
def test_an_operator_who_allows_less_is_told_who_does_not_start(
    broker: Any, stand_in: Any, start_agent: Make, make_variant: Make, tmp_path: Path, capfd: Any
) -> None:
    agent = start_agent(broker, "--memory", "120")
    agent.install(make_variant(memory=Memory(resident_bytes=6 * MB, address_bytes=4 * MB)))
    agent.start()
    stand_in.wait(lambda heard: heard.reports)
    told = ""
    until_s = time.monotonic() + 20
    while "does not start" not in told and time.monotonic() < until_s:
        told += capfd.readouterr().err
        time.sleep(0.1)
    assert "pets@1 78 MB and the agent 48 MB are 126 MB, and the budget is 120 MB" in told
    assert agent.infer()[0] == 503
