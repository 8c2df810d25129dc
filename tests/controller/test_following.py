"""Telemetry follows what was decided about the fleet, whatever fails or is killed in between."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.errors import StoreFault
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.following import follow_up
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.fleet.joining import forget_device
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store import Store
from edgefleet_protocol import topics
from edgefleet_protocol.messages import Acked, TelemetryWindow, decode, encode


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
def desired(store: Store, bus: Published) -> DesiredPublisher:
    return DesiredPublisher(store, bus)


@pytest.fixture
def ingest(store: Store, desired: DesiredPublisher) -> Ingest:
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
    return Ingest(store, desired, lambda *_: None, allows=lambda *_: True)


def told(seq: int) -> tuple[str, bytes]:
    window = TelemetryWindow(
        **{"incarnation": "0" * 32, "seq": seq, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
        **{"variant": "a" * 64, "generation": 1, "duration_ms": 1},
    )
    return topics.up("d", "telemetry"), encode(window)


@contextmanager
def holding(tmp_path: Path, name: str) -> Iterator[None]:
    """Another program that writes, and does not end."""
    with closing(sqlite3.connect(tmp_path / "state" / name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_device_that_is_removed_while_its_windows_are_on_the_way_leaves_none(
    ingest: Ingest, store: Store, desired: DesiredPublisher
) -> None:
    ingest._commit([told(1)])
    windows, _ = ingest._take_batch([told(2)], 5)
    forget_device(store, desired, "d")
    assert ingest._store_windows(windows, 5) == {}
    assert store.telemetry.windows.count("d") == 0
    assert ingest.counts["of_pending"] == 1


def test_a_removal_whose_telemetry_cannot_be_written_is_done_before_anything_new_is_stored(
    ingest: Ingest, store: Store, desired: DesiredPublisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest._commit([told(1)])
    with holding(tmp_path, "telemetry.db"):
        forget_device(store, desired, "d")
    assert store.fleet.devices.admission("d") is None
    assert store.telemetry.windows.count("d") == 1
    assert "the telemetry of d is still there: another program holds the store" in caplog.text
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
    ingest._commit([told(7)])
    assert (store.telemetry.windows.count("d"), store.telemetry.windows.through("d", "0" * 32)) == (1, 0)


def test_a_removal_that_was_killed_half_way_is_done_at_the_next_start(
    ingest: Ingest, store: Store, bus: Published
) -> None:
    ingest._commit([told(1)])
    with store.fleet.transaction():
        store.fleet.devices.forget("d", 1)
        store.fleet.follow_ups.remove("d")
    assert store.telemetry.windows.count("d") == 1
    ingest.start()
    ingest.stop()
    assert store.telemetry.windows.count("d") == 0
    assert store.fleet.follow_ups.all() == []


def test_a_removal_that_cannot_be_written_down_changes_nothing(
    ingest: Ingest, store: Store, desired: DesiredPublisher, tmp_path: Path
) -> None:
    ingest._commit([told(1)])
    with holding(tmp_path, "fleet.db"), pytest.raises(Exception, match="another program holds the store"):
        forget_device(store, desired, "d")
    assert store.fleet.devices.admission("d") is not None
    assert store.telemetry.windows.count("d") == 1


def test_windows_that_cannot_be_stored_keep_no_device_from_being_told(
    ingest: Ingest, store: Store, bus: Published, tmp_path: Path, reported
) -> None:
    wanted = DesiredRecord(
        **{"device": "d", "model": "fashion", "generation": 4, "manifest": "c" * 64, "manifest_bytes": 1},
        **{"rollout": None, "activate": True, "trial_s": 1},
    )
    store.fleet.desired.put(wanted)
    with holding(tmp_path, "telemetry.db"):
        ingest._commit([(topics.up("d", "reported"), encode(reported())), told(1)])
    assert [topic for topic, _ in bus.said] == [topics.desired("d")], "and no acknowledgement"
    assert ingest.counts["not_stored"] == 1
    assert store.fleet.devices.find("d")
    ingest._commit([told(1)])
    assert decode(Acked, bus.said[-1][1]).through == 1


def test_to_follow_up_twice_changes_nothing(store: Store) -> None:
    store.fleet.follow_ups.remove("d")
    store.fleet.follow_ups.unplace("e", 5)
    owed = store.fleet.follow_ups.all()
    assert [(one.device, one.what, one.since_ms) for one in owed] == [("d", "remove", 0), ("e", "unplace", 5)]
    follow_up(store)
    follow_up(store)
    assert store.fleet.follow_ups.all() == []
    store.fleet.follow_ups.done(owed)


def test_what_was_decided_half_way_is_not_followed(store: Store) -> None:
    with pytest.raises(RuntimeError), store.fleet.transaction():
        store.fleet.follow_ups.remove("d")
        raise RuntimeError("killed in between")
    assert store.fleet.follow_ups.all() == []


def test_telemetry_is_not_asked_within_a_transaction_of_the_fleet(store: Store) -> None:
    with store.fleet.transaction(), pytest.raises(StoreFault, match="used within"):
        store.telemetry.windows.count()
    with store.telemetry.transaction():
        assert store.fleet.devices.find("d") is None, "the other way round may be asked"
