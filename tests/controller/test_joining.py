"""A device that nobody added waits; one that is removed leaves nothing behind but history."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefleet_controller.errors import Invalid, NotFound, Refused
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.fleet.joining import accept_device, add_device, forget_device, join_command
from edgefleet_controller.fleet.selection import select
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.rollouts.rollout import MoveRollout, advance
from edgefleet_controller.store import Store
from edgefleet_controller.store.sqlite import open_store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol import topics
from edgefleet_protocol.messages import ChunkRequest, TelemetryWindow, encode

CATALOGUE = load_catalogue()


class Published:
    """Takes the bus's one method and keeps what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes, bool]] = []

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.said.append((topic, data, retain))


@pytest.fixture
def bus() -> Published:
    return Published()


@pytest.fixture
def wanted() -> list[ChunkRequest]:
    return []


@pytest.fixture
def start(store: Store, bus: Published, wanted: list[ChunkRequest]) -> Iterator[Callable[..., Ingest]]:
    started: list[Ingest] = []

    def make(**options: int) -> Ingest:
        started.append(
            Ingest(
                store,
                DesiredPublisher(store, bus),
                lambda request, _, __: wanted.append(request),
                allows=lambda *_: True,
                **options,
            )
        )
        started[-1].start()
        return started[-1]

    yield make
    for running in started:
        running.stop()


def settle(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def window(seq: int = 1) -> TelemetryWindow:
    given = {"model": "fashion", "model_version": 1, "variant": "a" * 64, "generation": 1, "duration_ms": 1}
    return TelemetryWindow(incarnation="0" * 32, seq=seq, first_kept_seq=1, **given)


def want() -> ChunkRequest:
    return ChunkRequest(blob="a" * 64, lane="lte", chunk_bytes=4096, chunks=8, missing="/w==")


def desired(device: str) -> DesiredRecord:
    fields = {"generation": 4, "manifest": "c" * 64, "manifest_bytes": 10, "rollout": None}
    return DesiredRecord(device=device, model="fashion", activate=True, trial_s=1, **fields)


def test_a_device_that_nobody_added_waits_as_pending_and_is_given_nothing(
    start, store: Store, bus: Published, wanted: list[ChunkRequest], reported
) -> None:
    ingest = start()
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    ingest.offer(topics.up("d", "telemetry"), encode(window()))
    ingest.offer(topics.up("d", "want"), encode(want()))
    settle(lambda: ingest.counts["of_pending"] == 2)
    assert store.fleet.devices.get("d").status == "pending"
    assert store.telemetry.windows.count() == 0
    assert (bus.said, wanted) == ([], [])
    assert select(store.fleet, CATALOGUE, "") == []


def test_once_accepted_its_telemetry_is_stored_and_acknowledged(start, store: Store, bus: Published, reported) -> None:
    ingest = start()
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    settle(lambda: store.fleet.devices.find("d"))
    assert accept_device(store.fleet, "d").status == "accepted"
    ingest.offer(topics.up("d", "telemetry"), encode(window()))
    settle(lambda: bus.said)
    assert store.telemetry.windows.count("d") == 1
    assert [device.id for device in select(store.fleet, CATALOGUE, "region=eu")] == ["d"]


def test_where_everyone_is_let_in_nobody_waits(start, store: Store, reported) -> None:
    start(accept_all=True).offer(topics.up("d", "reported"), encode(reported()))
    settle(lambda: store.fleet.devices.find("d"))
    assert store.fleet.devices.get("d").status == "accepted"


def test_strangers_beyond_a_limit_are_set_aside(start, store: Store, reported) -> None:
    ingest = start(max_pending=2)
    for device in ("a", "b", "c"):
        ingest.offer(topics.up(device, "reported"), encode(reported()))
    settle(lambda: ingest.counts["set_aside"] == 1)
    assert [device.id for device in store.fleet.devices.all()] == ["a", "b"]
    ingest.offer(topics.up("a", "reported"), encode(reported(report=2)))
    settle(lambda: store.fleet.devices.get("a").reported.report == 2)


def test_a_device_that_was_added_is_accepted_when_it_first_reports(start, store: Store, reported) -> None:
    device, _ = add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", None)
    assert [admission.device for admission in store.fleet.devices.expected()] == [device]
    start().offer(topics.up(device, "reported"), encode(reported()))
    settle(lambda: store.fleet.devices.find(device))
    assert (store.fleet.devices.get(device).status, store.fleet.devices.get(device).added_as) == (
        "accepted",
        "eu/rpi4/lte",
    )
    assert store.fleet.devices.expected() == []


def test_adding_twice_is_adding_once_but_not_for_another_profile(store: Store) -> None:
    add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", "d")
    add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", "d")
    with pytest.raises(Refused, match="eu/rpi4/lte"):
        add_device(store.fleet, CATALOGUE, "eu/rpi5/lte", "d")
    with pytest.raises(Invalid, match="rpi9"):
        add_device(store.fleet, CATALOGUE, "eu/rpi9/lte", "e")
    assert [what for _, what, _ in store.fleet.audit.of("d")] == ["device added"]


def test_the_line_to_run_names_files_and_never_a_password() -> None:
    profile = CATALOGUE.profile("eu/rpi4/lte")
    line = join_command("d", profile, "mqtts://fleet.example:8883", "device")
    assert line == (
        "edgefleet-agent run --state edgefleet-agent --device d --broker mqtts://fleet.example:8883 --region eu "
        "--hardware rpi4 --link lte --username device --password-file edgefleet.password --ca-file edgefleet-ca.pem"
    )


def test_the_line_to_run_names_every_broker_and_a_certificate_if_one_of_them_speaks_tls() -> None:
    line = join_command("d", CATALOGUE.profile("eu/rpi4/lte"), "mqtt://near:1883,mqtts://far:8883", None)
    assert "--broker mqtt://near:1883,mqtts://far:8883 " in line and line.endswith("--ca-file edgefleet-ca.pem")


def test_a_removed_device_is_forgotten_in_both_stores_and_at_the_broker(
    store: Store, bus: Published, reported, rollout, execution
) -> None:
    for device in ("d", "other"):
        add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", device)
        store.fleet.devices.put_report(device, reported(), 1)
        store.fleet.desired.put(desired(device))
    store.fleet.rollouts.put(rollout("staging").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions([execution(d, "downloading", rollout="a" * 32) for d in ("d", "other")])
    forget_device(store, DesiredPublisher(store, bus), "d")
    assert store.fleet.devices.find("d") is None
    assert store.fleet.devices.admission("d") is None
    assert store.fleet.desired.of("d") == []
    assert bus.said == [(topics.desired("d"), b"", True)]
    phases = {e.device: e.phase for e in store.fleet.rollouts.executions("a" * 32)}
    assert phases == {"d": "removed", "other": "downloading"}
    assert store.fleet.rollouts.owners("fashion", ["other", "d"]) == {"other": "a" * 32}
    with pytest.raises(NotFound):
        forget_device(store, DesiredPublisher(store, bus), "d")


def test_a_rollback_does_not_wait_for_a_removed_device(store: Store, bus: Published, rollout, execution) -> None:
    add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", "d")
    store.fleet.rollouts.put(rollout("soaking").model_copy(update={"id": "a" * 32}))
    store.fleet.rollouts.put_executions(
        [execution("d", "committed", rollout="a" * 32, directive="activate", generation=4)]
    )
    assert not store.fleet.rollouts.executions("a" * 32)[0].is_back
    forget_device(store, DesiredPublisher(store, bus), "d")
    returning = store.fleet.rollouts.get("a" * 32).model_copy(update={"state": "rolling_back"})
    (decision,) = advance(returning, store.fleet.rollouts.executions("a" * 32), 1)
    assert isinstance(decision, MoveRollout)
    assert decision.state == "rolled_back"


def test_a_removed_device_that_comes_back_waits_again_and_its_history_stays(
    start, store: Store, bus: Published, reported
) -> None:
    add_device(store.fleet, CATALOGUE, "eu/rpi4/lte", "d")
    ingest = start()
    ingest.offer(topics.up("d", "reported"), encode(reported()))
    ingest.offer(topics.up("d", "telemetry"), encode(window()))
    settle(lambda: store.telemetry.windows.count("d") == 1)
    forget_device(store, DesiredPublisher(store, bus), "d")
    assert store.telemetry.windows.count("d") == 0
    ingest.offer(topics.up("d", "reported"), encode(reported(report=2)))
    settle(lambda: store.fleet.devices.find("d"))
    assert store.fleet.devices.get("d").status == "pending"
    whats = [what for _, what, _ in store.fleet.audit.of("d")]
    assert whats == ["device added", "device removed"]


def test_devices_of_a_store_from_before_there_was_a_question_are_accepted(tmp_path: Path, reported) -> None:
    import sqlite_utils

    from edgefleet_controller.store.sqlite.fleet_migrations import FLEET

    older = sqlite_utils.Database(tmp_path / "fleet.db")
    FLEET.apply(older, stop_before="m002_device_status")
    row = {"id": "d", "incarnation": "0" * 32, "online": 1, "last_seen_ms": 1, "first_seen_ms": 1}
    older["devices"].insert({**row, "reported": reported().model_dump_json()})
    older.close()
    opened = open_store(tmp_path)
    assert opened.fleet.devices.get("d").status == "accepted"
    opened.close()
    opened.close()
