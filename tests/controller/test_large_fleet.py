"""What a tick and a report cost is what has changed, however large the fleet is; counted, not timed."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cards import card

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord, Gate, RolloutSpec
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.records import ChoiceRecord, ModelRecord, RolloutRecord, VariantRecord
from edgefleet_controller.rollouts.conductor import DECISIONS_PER_TICK, Conductor
from edgefleet_controller.rollouts.joiners import LateJoiners
from edgefleet_controller.rollouts.launch import plan_rollout, start_rollout
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.sqlite import open_store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol import topics
from edgefleet_protocol.messages import Attempt, ReportedModel, ReportedState, TelemetryWindow, encode

CATALOGUE = load_catalogue()
PROFILE = "eu/rpi4/lte"
VARIANT, MANIFEST = "b" * 64, "c" * 64


class Silent:
    """Takes the bus's one method and says nothing."""

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        pass


@pytest.fixture
def built(store: Store) -> Store:
    """A store with one model, built for one profile."""
    store.fleet.registry.put_model(ModelRecord(name="fashion", version=1, files={}, card=card(), created_ms=1))
    variant = {
        **{"id": VARIANT, "model": "fashion", "version": 1, "recipe": "fp32", "title": "fp32", "created_ms": 1},
        **{"instruction_sets": [], "manifest": MANIFEST, "manifest_bytes": 10, "delivery_bytes": {}, "metrics": {}},
        **{"runtime": {}, "steps": []},
    }
    choice = {"model": "fashion", "version": 1, "profile": PROFILE, "variant": VARIANT, "reasons": {}}
    store.fleet.registry.put_variants([VariantRecord.model_validate(variant)], [ChoiceRecord.model_validate(choice)])
    return store


@pytest.fixture
def enlist(built: Store, reported: Callable[..., ReportedState]) -> Callable[..., None]:
    """Devices that have reported and belong to the fleet."""

    def make(*devices: str, accepted: bool = True, **labels: str) -> None:
        with built.fleet.transaction():
            for device in devices:
                known = built.fleet.devices.find(device)
                report = known.reported.report + 1 if known else 1
                built.fleet.devices.put_report(device, reported(labels=labels, report=report), 1)
                if accepted:
                    built.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))

    return make


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def conductor(built: Store, told: list[str]) -> Conductor:
    return Conductor(built, told.extend, LateJoiners(built.fleet, CATALOGUE), tick_s=60)


def names(count: int) -> list[str]:
    return [f"d{number:04d}" for number in range(count)]


def start(store: Store, selector: str = "", *waves: float) -> RolloutRecord:
    return start_rollout(
        store.fleet, CATALOGUE, RolloutSpec(model="fashion", version=1, selector=selector, waves=waves or (1.0,))
    )


def devices(store: Store, rollout: RolloutRecord) -> list[str]:
    return sorted(e.device for e in store.fleet.rollouts.executions(rollout.id))


def connection(store: Store) -> sqlite3.Connection:
    """The store's own: what SQLite does for a tick can be counted there alone."""
    return store.fleet.rollouts._db._db.conn


@contextmanager
def counted(store: Store) -> Iterator[dict[str, int]]:
    """SQL statements, and the steps of SQLite's own machine in tens."""
    found = {"statements": 0, "steps": 0}

    def statement(_sql: str) -> None:
        found["statements"] += 1

    def step() -> int:
        found["steps"] += 1
        return 0

    connection(store).set_trace_callback(statement)
    connection(store).set_progress_handler(step, 10)
    try:
        yield found
    finally:
        connection(store).set_trace_callback(None)
        connection(store).set_progress_handler(None, 0)


def test_a_quiet_tick_asks_the_store_no_more_of_a_large_fleet_than_of_a_small_one(
    built: Store, conductor: Conductor, enlist: Callable[..., None]
) -> None:
    costs = []
    for fleet, size in (("small", 10), ("large", 1000)):
        enlist(*(f"{fleet}-{name}" for name in names(size)), fleet=fleet)
        rollout = start(built, f"fleet={fleet}")
        for tick in range(1000 // DECISIONS_PER_TICK + 3):
            conductor.tick(1000 + tick)
        assert built.fleet.rollouts.get(rollout.id).waves[0].state == "staging"
        with counted(built) as cost:
            conductor.tick(2000)
        costs.append(cost)
        conductor.order("abort", rollout.id)
    small, large = costs
    assert small["statements"] > 3
    assert large["statements"] <= small["statements"]
    assert large["steps"] <= small["steps"] + 20


def test_a_heartbeat_that_says_nothing_new_costs_the_same_in_every_fleet_and_moves_nothing(
    built: Store, enlist: Callable[..., None], reported: Callable[..., ReportedState], execution: Callable
) -> None:
    ingest = Ingest(built, DesiredPublisher(built, Silent()), lambda *_: None, allows=lambda *_: True)
    said = ReportedModel(generation=1, attempt=Attempt(generation=1, rollout="a" * 32, phase="committed"))
    costs = []
    for size in (1, 500):
        enlist(*names(size))
        rollout = start(built).model_copy(update={"id": "a" * 32, "state": "completed"})
        conductor = Conductor(built, lambda who: None, LateJoiners(built.fleet, CATALOGUE), tick_s=60)
        conductor.order("abort", built.fleet.rollouts.all("running")[0].id)
        built.fleet.rollouts.put(rollout)
        built.fleet.rollouts.put_executions([execution("d0000", rollout="a" * 32, generation=1, phase="assigned")])
        for report in (10, 11, 12):
            data = encode(reported(models={"fashion": said}, report=report, boot=size))
            before = built.fleet.rollouts.executions("a" * 32)
            with counted(built) as cost:
                ingest._commit([(topics.up("d0000", "reported"), data)])
        assert built.fleet.rollouts.executions("a" * 32) == before, (
            "that an ended one is still heard of is not written down"
        )
        costs.append(cost)
    assert costs[1]["statements"] <= costs[0]["statements"]
    assert costs[1]["steps"] <= costs[0]["steps"] + 50, "in tens: no scan"


def test_a_large_wave_is_told_in_ticks_of_a_bounded_size_and_everyone_once(
    built: Store, conductor: Conductor, told: list[str], enlist: Callable[..., None]
) -> None:
    enlist(*names(DECISIONS_PER_TICK * 2))
    rollout = start(built)
    sizes, more = [], []
    for tick in range(4):
        before = len(told)
        more.append(conductor.tick(1000 + tick))
        sizes.append(len(told) - before)
    assert more == [True, True, False, False]
    assert sizes == [DECISIONS_PER_TICK - 1, DECISIONS_PER_TICK, 1, 0], "the first decision moves the wave"
    assert sorted(told) == names(DECISIONS_PER_TICK * 2)
    assert {e.directive for e in built.fleet.rollouts.executions(rollout.id)} == {"stage"}


def test_ticks_that_leave_something_undecided_follow_at_once(built: Store, enlist: Callable[..., None]) -> None:
    enlist(*names(DECISIONS_PER_TICK * 2))
    start(built)
    told_s: list[float] = []
    conductor = Conductor(
        built, lambda devices: told_s.append(time.monotonic()), LateJoiners(built.fleet, CATALOGUE), tick_s=5
    )
    conductor.start()
    until_s = time.monotonic() + 60
    while len(told_s) < 3 and time.monotonic() < until_s:
        time.sleep(0.05)
    conductor.stop()
    assert told_s[2] - told_s[0] < 5


def test_a_pause_takes_the_word_to_switch_back_from_everyone(
    built: Store, conductor: Conductor, enlist: Callable[..., None]
) -> None:
    enlist("a", "b")
    rollout = start(built)
    conductor.tick(1)
    staged = [e.model_copy(update={"phase": "staged"}) for e in built.fleet.rollouts.executions(rollout.id)]
    built.fleet.rollouts.put_executions(staged)
    conductor.tick(2)
    conductor.tick(3)
    assert {d.activate for name in ("a", "b") for d in built.fleet.desired.of(name)} == {True}
    conductor.order("pause", rollout.id)
    assert {d.activate for name in ("a", "b") for d in built.fleet.desired.of(name)} == {False}


def test_who_appears_is_labelled_or_accepted_later_joins_at_the_next_tick(
    built: Store, conductor: Conductor, enlist: Callable[..., None]
) -> None:
    enlist("first", tier="field")
    enlist("elsewhere", tier="lab")
    enlist("stranger", accepted=False, tier="field")
    rollout = start(built, "tier=field")
    conductor.tick(1)
    assert devices(built, rollout) == ["first"]
    enlist("second", tier="field")
    conductor.tick(2)
    assert devices(built, rollout) == ["first", "second"]
    enlist("elsewhere", tier="field")
    built.fleet.devices.admit(AdmissionRecord(device="stranger", accepted_ms=3))
    conductor.tick(3)
    assert devices(built, rollout) == ["elsewhere", "first", "second", "stranger"]


def test_who_appeared_while_the_controller_was_away_joins_too(built: Store, enlist: Callable[..., None]) -> None:
    enlist("first")
    rollout = start(built)
    enlist("second")
    conductor = Conductor(built, lambda who: None, LateJoiners(built.fleet, CATALOGUE), tick_s=60)
    conductor.tick(1)
    assert devices(built, rollout) == ["first", "second"]


def test_a_device_that_another_rollout_wants_or_two_agents_claim_joins_once_it_is_free(
    built: Store, conductor: Conductor, enlist: Callable[..., None]
) -> None:
    enlist("first", tier="field")
    enlist("taken", tier="lab")
    enlist("doubled", tier="none")
    rollout, other = start(built, "tier=field"), start(built, "tier=lab")
    conductor.tick(1)
    enlist("taken", "doubled", tier="field")
    built.fleet.conflicts.begin("doubled", "two agents", 2)
    conductor.tick(2)
    assert devices(built, rollout) == ["first"]
    conductor.order("abort", other.id)
    built.fleet.conflicts.end("doubled")
    conductor.tick(3)
    assert devices(built, rollout) == ["doubled", "first", "taken"]


def test_what_is_in_memory_is_what_is_written_whoever_wrote_it(built: Store, enlist: Callable[..., None]) -> None:
    enlist("a", "b", "c")
    rollout = start(built)

    def live() -> list[ExecutionRecord]:
        return sorted(built.fleet.rollouts.live.of(rollout.id), key=lambda e: e.device)

    assert live() == built.fleet.rollouts.executions(rollout.id)
    built.fleet.devices.forget("a", 5)
    built.fleet.conflicts.begin("b", "two agents", 6)
    assert [e.phase for e in live()] == ["removed", "deferred", "assigned"]
    assert live() == built.fleet.rollouts.executions(rollout.id)
    with pytest.raises(RuntimeError), built.fleet.transaction():
        built.fleet.devices.forget("c", 7)
        raise RuntimeError("killed in between")
    assert live() == built.fleet.rollouts.executions(rollout.id)


def test_a_turn_that_could_not_be_written_leaves_nothing_in_memory(
    built: Store, conductor: Conductor, told: list[str], enlist: Callable[..., None]
) -> None:
    enlist("a", "b")
    rollout = start(built)
    connection(built).execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON desired WHEN new.device = 'b' BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    enlist("late")
    conductor.tick(1)
    assert (told, devices(built, rollout)) == ([], ["a", "b"])
    connection(built).execute("DROP TRIGGER full")
    conductor.tick(2)
    assert (sorted(told), devices(built, rollout)) == (["a", "b", "late"], ["a", "b", "late"])
    in_memory = {e.device: e for e in built.fleet.rollouts.live.of(rollout.id)}
    assert in_memory == {e.device: e for e in built.fleet.rollouts.executions(rollout.id)}


def test_what_a_device_in_conflict_had_measured_counts_no_longer(
    built: Store, conductor: Conductor, enlist: Callable[..., None], reported: Callable[..., ReportedState]
) -> None:
    def measured(device: str, variant: str, correct: int, received_ms: int) -> None:
        counts = {"generation": 1, "duration_ms": 1, "requests": 30, "labelled": 30, "correct": correct}
        counts |= {"labels_checked": True}
        window = TelemetryWindow(
            **{"incarnation": "0" * 32, "seq": received_ms, "first_kept_seq": 1, "model": "fashion"},
            **{"model_version": 1, "variant": variant, **counts},
        )
        built.telemetry.windows.put([StoredWindow(device, window, reported().facts, received_ms)])

    def now_in(phase: str, *these: str) -> None:
        told = {"phase": phase, "previous_variant": "9" * 64}
        executions = built.fleet.rollouts.executions(rollout.id)
        built.fleet.rollouts.put_executions([e.model_copy(update=told) for e in executions if e.device in these])

    enlist("a", "b", "c")
    gate = Gate(min_devices=1)
    rollout = start_rollout(built.fleet, CATALOGUE, RolloutSpec(model="fashion", version=1, waves=(1.0,), gate=gate))
    conductor.tick(1)
    now_in("staged", "a", "b", "c")
    conductor.tick(2)
    conductor.tick(3)
    now_in("committed", "a", "b")
    for seq in (4, 5):
        measured("c", "9" * 64, 30, seq)
    measured("a", VARIANT, 0, 6)
    conductor.tick(7)
    built.fleet.conflicts.begin("a", "two agents", 8)
    built.telemetry.windows.unplace("a", 0)
    measured("b", VARIANT, 0, 9)
    conductor.tick(10)
    assert built.fleet.rollouts.get(rollout.id).waves[0].state == "activating", "30 labels are too few to judge by"
    measured("b", VARIANT, 0, 11)
    conductor.tick(12)
    assert built.fleet.rollouts.get(rollout.id).waves[0].state == "failed"


def test_two_spellings_of_a_selector_give_the_same_waves(built: Store, enlist: Callable[..., None]) -> None:
    enlist(*names(50), tier="field")
    waves = []
    for selector in ("tier=field,region in (eu,na)", " region in ( na , eu ),tier == field "):
        spec, planned = plan_rollout(
            built.fleet, CATALOGUE, RolloutSpec(model="fashion", version=1, selector=selector, waves=(0.1, 1))
        )
        waves.append([(e.device, e.wave) for e in planned.executions])
        assert spec.selector == "region in (eu,na),tier=field"
    assert waves[0] == waves[1]


def test_the_fleet_of_an_older_file_is_known_at_a_glance(
    tmp_path: Path, reported: Callable[..., ReportedState]
) -> None:
    import sqlite_utils

    from edgefleet_controller.store.sqlite.fleet_migrations import FLEET
    from edgefleet_protocol.messages import Slot

    slot = Slot(variant=VARIANT, manifest=MANIFEST, model_version=3, generation=7)
    model = ReportedModel(generation=7, answering=slot, attempt=Attempt(generation=7, phase="committed"))
    said = reported(boot=2, report=9, labels={"tier": "field"}, models={"fashion": model, "other": ReportedModel()})
    older = sqlite_utils.Database(tmp_path / "fleet.db")
    FLEET.apply(older, stop_before="m005_the_fleet_at_a_glance")
    row = {"id": "d", "incarnation": "0" * 32, "online": 1, "last_seen_ms": 1, "first_seen_ms": 1}
    older["devices"].insert({**row, "reported": said.model_dump_json()})
    older["admissions"].insert({"device": "d", "accepted_ms": 1})
    older.close()
    opened = open_store(tmp_path)
    (member,) = opened.fleet.members.all("fashion")
    assert (member.profile, dict(member.labels)) == (PROFILE, {"tier": "field"})
    assert (member.generation, member.variant, member.manifest) == (7, VARIANT, MANIFEST)
    assert ("fashion", "3", VARIANT, "rpi4", "committed") in opened.fleet.devices.count_models()
    assert not opened.fleet.devices.put_report("d", said, 2), "what was heard last is known"
    opened.close()
