"""What devices say is committed, then acknowledged; what is no message of ours is set aside."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from tests.controller.asking import aggregated

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.errors import StoreFault
from edgefleet_controller.fleet.counts import ALL
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher, must_be_told
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store import Store
from edgefleet_protocol import topics
from edgefleet_protocol.counters import Counters, ServingCounts
from edgefleet_protocol.messages import (
    Acked,
    Attempt,
    ChunkRequest,
    DesiredState,
    Presence,
    ReportedModel,
    Slot,
    TelemetryWindow,
    decode,
    encode,
)
from edgefleet_protocol.ran_on import RanOn


class Published:
    """Takes the bus's one method and keeps what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.said.append((topic, data))


@pytest.fixture
def bus() -> Published:
    return Published()


@pytest.fixture
def wanted() -> list[ChunkRequest]:
    return []


@pytest.fixture
def ingest(store: Store, bus: Published, wanted: list[ChunkRequest]) -> Iterator[Ingest]:
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
    running = Ingest(
        store, DesiredPublisher(store, bus), lambda request, _, __: wanted.append(request), allows=lambda *_: True
    )
    running.start()
    yield running
    running.stop()


def settle(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def desired(generation: int, *, activate: bool = True) -> DesiredRecord:
    return DesiredRecord(
        device="d",
        model="fashion",
        generation=generation,
        manifest="c" * 64,
        manifest_bytes=10,
        rollout=None,
        activate=activate,
        trial_s=1,
    )


def model(generation: int, phase: str = "committed", **fields) -> ReportedModel:
    return ReportedModel(generation=generation, attempt=Attempt(generation=generation, phase=phase, **fields))


def window(seq: int) -> TelemetryWindow:
    return TelemetryWindow(
        incarnation="0" * 32,
        seq=seq,
        first_kept_seq=1,
        model="fashion",
        model_version=1,
        variant="a" * 64,
        generation=1,
        duration_ms=1,
    )


def test_telemetry_is_acknowledged_once_it_is_stored(ingest: Ingest, store: Store, bus: Published) -> None:
    for seq in (1, 2, 2, 3):
        ingest.offer(topics.up("d", "telemetry"), encode(window(seq)))
    settle(lambda: store.telemetry.windows.count("d") == 3)
    settle(lambda: bus.said and decode(Acked, bus.said[-1][1]).through == 3)
    assert {topic for topic, _ in bus.said} == {topics.acked("d")}


def test_each_message_is_counted_under_what_became_of_it(ingest: Ingest, store: Store, reported) -> None:
    for seq in (1, 2, 2, 3, 1):
        ingest.offer(topics.up("d", "telemetry"), encode(window(seq)))
    ingest.offer(topics.up("d", "telemetry"), encode(window(4).model_copy(update={"latency": "bm8gaGlzdG9ncmFt"})))
    ingest.offer(topics.up("stranger", "telemetry"), encode(window(1)))
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    ingest.offer(topics.up("d", "presence"), b"{")
    ingest.offer("elsewhere", b"{}")
    settle(lambda: ingest.counts["set_aside"] == 3 and ingest.counts["windows_repeated"] == 2)
    assert +ingest.counts == {
        **{"telemetry": 7, "reported": 1, "presence": 1},
        **{"windows": 3, "windows_repeated": 2, "windows_set_aside": 1, "set_aside": 3, "of_pending": 1},
    }
    assert set(ingest.counts) <= set(ALL)


@pytest.mark.parametrize("batch", [1, 3])
def test_what_the_store_cannot_take_is_counted_once_and_what_cannot_be_told_is_no_loss(
    store: Store, reported, batch: int
) -> None:
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))

    class Silent(Published):
        def publish(self, *_: object, **__: object) -> None:
            raise OSError("nobody to tell")

    unheard = Ingest(store, DesiredPublisher(store, Silent()), lambda *_: None, allows=lambda *_: True)
    unheard._commit([(topics.up("d", "telemetry"), encode(window(seq + 1))) for seq in range(batch)])
    assert +unheard.counts == {"telemetry": batch, "windows": batch}

    class Broken(Ingest):
        def _take(self, *_: object) -> None:
            raise StoreFault("the disk is full")

    broken = Broken(store, DesiredPublisher(store, Published()), lambda *_: None, allows=lambda *_: True)
    broken._commit([("elsewhere", b""), *[(topics.up("d", "presence"), b"{}")] * batch])
    assert +broken.counts == {"presence": batch, "set_aside": 1, "not_stored": batch}


def test_a_window_with_a_histogram_that_cannot_be_read_is_set_aside(ingest: Ingest, store: Store) -> None:
    ingest.offer(topics.up("d", "telemetry"), encode(window(1).model_copy(update={"latency": "bm8gaGlzdG9ncmFt"})))
    ingest.offer(topics.up("d", "telemetry"), encode(window(2)))
    settle(lambda: store.telemetry.windows.count("d") == 1)
    assert ingest.counts["set_aside"] == 1


@pytest.mark.parametrize(
    "told",
    [
        {"requests": 3, "errors": 4},
        {"requests": "12"},
        {"requests": 12, "clock_trusted": 1},
        {"labelled": 9, "correct": 10},
        {"requests": -5},
        {"latency": "bm8gaGlzdG9ncmFt"},
    ],
    ids=str,
)
def test_a_window_that_contradicts_itself_is_counted_and_no_evidence_and_holds_nothing_up(
    ingest: Ingest, store: Store, bus: Published, told: dict[str, object]
) -> None:
    for seq in (1, 2, 3):
        said = json.loads(encode(window(seq))) | (told if seq == 2 else {"requests": 1})
        ingest.offer(topics.up("d", "telemetry"), json.dumps(said).encode())
    settle(lambda: bus.said and decode(Acked, bus.said[-1][1]).through == 3)
    assert (ingest.counts["set_aside"], ingest.counts["windows_set_aside"]) == (1, 1)
    assert ingest.set_aside[0].why.startswith(("not a TelemetryWindow: ", "not a compressed HDR"))
    (sums,) = aggregated(store.telemetry, ("device",))
    assert (sums.windows, sums.counters) == (2, Counters(ServingCounts(requests=2)))


def test_a_window_of_a_stranger_is_not_acknowledged_however_odd(ingest: Ingest, bus: Published) -> None:
    said = json.loads(encode(window(1))) | {"requests": -5}
    ingest.offer(topics.up("stranger", "telemetry"), json.dumps(said).encode())
    ingest.offer(topics.up("d", "telemetry"), encode(window(1)))
    settle(lambda: bus.said)
    assert {topic for topic, _ in bus.said} == {topics.acked("d")}


def test_windows_are_stored_with_the_profile_that_their_sender_reported(ingest: Ingest, store: Store, reported) -> None:
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    ingest.offer(topics.up("d", "telemetry"), encode(window(1)))
    settle(lambda: store.telemetry.windows.count("d") == 1)
    facts = reported().facts
    found = aggregated(store.telemetry, ("region", "hardware", "link"))
    assert [one.group for one in found] == [{"region": facts.region, "hardware": facts.hardware, "link": facts.link}]


@pytest.mark.parametrize("kind", topics.UP_KINDS)
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff" * 1000, b'{"incarnation": NaN}', b"[" * 100_000])
def test_rubbish_is_counted_and_set_aside(ingest: Ingest, kind: topics.UpKind, data: bytes) -> None:
    ingest.offer(topics.up("d", kind), data)
    settle(lambda: ingest.counts["set_aside"] == 1)
    assert ingest.set_aside[0].topic == topics.up("d", kind)


def test_a_topic_that_is_none_of_ours_is_set_aside(ingest: Ingest) -> None:
    ingest.offer("edgefleet/v1/up/zz/d/reported", b"{}")
    settle(lambda: ingest.counts["set_aside"] == 1)


def test_a_message_beside_rubbish_is_still_taken(ingest: Ingest, store: Store, reported) -> None:
    ingest.offer(topics.up("d", "reported"), b"rubbish")
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    settle(lambda: store.fleet.devices.find("d"))
    assert ingest.counts["set_aside"] == 1


def test_a_device_whose_snapshot_is_behind_is_told_again(
    ingest: Ingest, store: Store, bus: Published, reported
) -> None:
    store.fleet.desired.put(desired(4))
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": model(3)})))
    settle(lambda: bus.said)
    topic, data = bus.said[0]
    assert topic == topics.desired("d")
    assert decode(DesiredState, data).models["fashion"].generation == 4


@pytest.mark.parametrize(
    ("asked", "said", "told"),
    [
        (desired(4), {}, True),
        (desired(4), {"fashion": model(3)}, True),
        (desired(4), {"fashion": model(4)}, False),
        (desired(4), {"fashion": model(5)}, False),
        (desired(4), {"fashion": model(4, "staged")}, True),
        (desired(4, activate=False), {"fashion": model(4, "staged")}, False),
    ],
)
def test_who_must_be_told(asked, said, told, reported) -> None:
    assert must_be_told([asked], reported(models=said)) is told


def test_a_report_moves_the_execution_of_its_generation_and_rollout(
    ingest: Ingest, store: Store, reported, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("staging").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions([execution("d", rollout="a" * 32, generation=4, directive="stage")])
    said = model(4, "rejected", rollout="a" * 32, reason="no_space", detail="need 9 MB, have 1 MB")
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": said})))
    settle(lambda: store.fleet.rollouts.executions("a" * 32)[0].phase == "rejected")
    moved = store.fleet.rollouts.executions("a" * 32)[0]
    assert (moved.reason, moved.detail) == ("no_space", "need 9 MB, have 1 MB")


@pytest.mark.parametrize("why", ["GpuExecutionProvider does not work (no device)", None])
def test_a_variant_that_does_not_run_as_asked_is_told_with_its_execution(
    ingest: Ingest, store: Store, reported, rollout, execution, why: str | None
) -> None:
    store.fleet.rollouts.put(rollout("activating").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions([execution("d", rollout="a" * 32, generation=4, directive="activate")])
    ran_on = RanOn(nodes={"CPUExecutionProvider": 3}, why=why)
    slot = Slot(variant="a" * 64, manifest="c" * 64, model_version=1, generation=4, ran_on=ran_on)
    said = model(4, rollout="a" * 32, variant="a" * 64).model_copy(update={"committed": slot})
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": said})))
    settle(lambda: store.fleet.rollouts.executions("a" * 32)[0].phase == "committed")
    told = store.fleet.rollouts.executions("a" * 32)[0].detail
    assert told == (f"it runs on CPUExecutionProvider 3 nodes ({why})" if why else None)


def test_a_report_of_another_generation_moves_nothing(
    ingest: Ingest, store: Store, reported, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("staging").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions([execution("d", rollout="a" * 32, generation=4)])
    said = model(3, "committed", rollout="a" * 32)
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": said})))
    settle(lambda: store.fleet.devices.find("d"))
    assert store.fleet.rollouts.executions("a" * 32)[0].phase == "assigned"


def test_a_phase_that_only_a_newer_agent_knows_shows_that_the_device_is_there_and_moves_nothing(
    ingest: Ingest, store: Store, reported, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("staging").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions(
        [execution("d", "downloading", rollout="a" * 32, generation=4, directive="stage")]
    )
    said = encode(reported(models={"fashion": model(4, "verified", rollout="a" * 32)}))
    ingest.offer(topics.up("d", "reported"), said.replace(b'"verified"', b'"asking_the_owner"'))
    settle(lambda: ingest.counts["newer_phases"] == 1)
    settle(lambda: store.fleet.rollouts.executions("a" * 32)[0].heard_ms)
    assert store.fleet.rollouts.executions("a" * 32)[0].phase == "downloading"
    assert store.fleet.devices.get("d").reported.models["fashion"].attempt is None
    assert ingest.counts["set_aside"] == 0


def test_a_higher_generation_supersedes_an_open_execution(
    ingest: Ingest, store: Store, reported, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("staging").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions([execution("d", "downloading", rollout="a" * 32, generation=4)])
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": model(5, "downloading")})))
    settle(lambda: store.fleet.rollouts.executions("a" * 32)[0].phase == "superseded")


def test_a_last_will_marks_the_device_as_gone(ingest: Ingest, store: Store, reported) -> None:
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    ingest.offer(topics.up("d", "presence"), encode(Presence(online=False, incarnation="0" * 32, boot=1)))
    settle(lambda: (found := store.fleet.devices.find("d")) and not found.online)


def test_a_want_goes_to_delivery(ingest: Ingest, wanted: list[ChunkRequest]) -> None:
    request = ChunkRequest(blob="a" * 64, lane="lte", chunk_bytes=4096, chunks=8, missing="/w==")
    ingest.offer(topics.up("d", "want"), encode(request))
    settle(lambda: wanted)
    assert wanted == [request]


def test_a_device_that_reports_less_than_is_known_of_it_is_told_how_far_it_had_come(
    ingest: Ingest, store: Store, bus: Published, reported
) -> None:
    ingest.offer(topics.up("d", "reported"), encode(reported(boot=7, report=40)))
    ingest.offer(topics.up("d", "telemetry"), encode(window(1)))
    settle(lambda: bus.said)
    ingest.offer(topics.up("d", "reported"), encode(reported(boot=3, report=2)))
    settle(lambda: len(bus.said) == 2)
    topic, said = bus.said[-1]
    assert topic == topics.acked("d")
    assert decode(Acked, said) == Acked(incarnation="0" * 32, through=1, boot=7, report=40)
    assert store.fleet.devices.get("d").reported.boot == 7


def test_what_a_later_rollout_gave_that_the_store_knows_nothing_of_is_left_alone(
    ingest: Ingest, store: Store, reported, execution, rollout
) -> None:
    ours, later = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"
    store.fleet.rollouts.put(rollout("activating").model_copy(update={"id": ours}))
    store.fleet.rollouts.put_executions([execution("d", rollout=ours)])
    ingest.offer(topics.up("d", "reported"), encode(reported(models={"fashion": model(7, rollout=later)})))
    settle(lambda: store.fleet.rollouts.executions(ours)[0].phase == "superseded")
    going_back = execution("d", "committed", rollout=ours, generation=2, back_generation=3, back_phase="assigned")
    store.fleet.rollouts.put_executions([going_back])
    ingest.offer(topics.up("d", "reported"), encode(reported(report=2, models={"fashion": model(7, rollout=later)})))
    settle(lambda: store.fleet.rollouts.executions(ours)[0].is_back)
    assert store.fleet.members.given_later(["d", "e"], "fashion", ours) == {"d"}
    assert store.fleet.members.given_later(["d"], "fashion", later) == set()
