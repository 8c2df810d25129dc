"""The store keeps our types; what comes twice is kept once; every older file still opens."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils
from tests.cards import card
from tests.controller.asking import aggregated, evidence

from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.errors import NotFound, StateUnusable
from edgefleet_controller.records import DesiredRecord, ModelRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.evidence import Compared
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.merging import WIDTHS_MS
from edgefleet_controller.store.sqlite import open_store
from edgefleet_controller.store.sqlite.migrations import FLEET, TELEMETRY
from edgefleet_protocol.counters import Counters, Moments, ServingCounts
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import TelemetryWindow

INCARNATION = "1" * 32


def window(seq: int, first_kept: int = 1, **fields) -> TelemetryWindow:
    given = {"model": "fashion", "model_version": 1, "variant": "a" * 64, "generation": 1, "duration_ms": 1000}
    return TelemetryWindow(incarnation=INCARNATION, seq=seq, first_kept_seq=first_kept, **{**given, **fields})


def put(store: Store, *windows: TelemetryWindow, device: str = "d") -> int:
    return store.telemetry.windows.put([StoredWindow(device, w, None, 5) for w in windows])[(device, INCARNATION)]


def test_a_window_that_comes_twice_is_one_row(store: Store) -> None:
    put(store, window(1), window(1))
    put(store, window(1))
    assert store.telemetry.windows.count("d") == 1


def test_the_acknowledgement_goes_through_what_is_stored_without_a_gap(store: Store) -> None:
    assert put(store, window(1), window(2), window(4)) == 2
    assert put(store, window(3)) == 4


def test_what_a_device_has_dropped_never_holds_the_acknowledgement_up(store: Store) -> None:
    assert put(store, window(1)) == 1
    assert put(store, window(90, first_kept=90)) == 90


def test_percentiles_of_a_group_are_read_from_the_merged_histogram(store: Store) -> None:
    fast, slow = LatencyHistogram(), LatencyHistogram()
    for _ in range(99):
        fast.record(0.001)
    slow.record(1.0)
    put(store, window(1, latency=fast.encode(), requests=99), device="a")
    put(store, window(1, latency=slow.encode(), requests=1), device="b")
    (merged,) = aggregated(store.telemetry, ("variant",))
    serving = merged.counters.serving
    assert serving.requests == 100
    assert serving.latency.percentile_ms(50) == pytest.approx(1.0, rel=0.02)
    assert serving.latency.percentile_ms(100) == pytest.approx(1000, rel=0.02)


def test_accuracy_is_none_without_labels(store: Store) -> None:
    put(store, window(1, requests=3))
    assert aggregated(store.telemetry, ("device",))[0].counters.scored.mean is None
    put(store, window(2, requests=3, labelled=4, correct=3))
    assert aggregated(store.telemetry, ("device",))[0].counters.scored.mean == 0.75


def test_an_older_snapshot_of_the_same_life_is_not_kept(store: Store, reported) -> None:
    assert store.fleet.devices.put_report("d", reported(boot=2, report=5), 1)
    assert not store.fleet.devices.put_report("d", reported(boot=2, report=5), 2)
    assert not store.fleet.devices.put_report("d", reported(boot=1, report=9), 3)
    assert store.fleet.devices.put_report("d", reported(boot=3, report=1), 4)
    assert store.fleet.devices.get("d").last_seen_ms == 4


def test_a_device_born_again_counts_from_the_start(store: Store, reported) -> None:
    store.fleet.devices.put_report("d", reported(boot=9, report=9), 1)
    assert store.fleet.devices.put_report("d", reported(incarnation="2" * 32, boot=1, report=1), 2)


def test_a_last_will_marks_only_the_life_that_it_belongs_to(store: Store, reported) -> None:
    store.fleet.devices.put_report("d", reported(), 1)
    store.fleet.devices.put_presence("d", "2" * 32, False, 2)
    assert store.fleet.devices.get("d").online
    store.fleet.devices.put_presence("d", "0" * 32, False, 3)
    assert not store.fleet.devices.get("d").online


def test_counts_are_the_sum_of_the_executions(store: Store, rollout, execution) -> None:
    store.fleet.rollouts.put(rollout("staging", "pending"))
    store.fleet.rollouts.put_executions([execution("a"), execution("b", "trial"), execution("c", "trial", wave=2)])
    assert store.fleet.rollouts.counts("01") == {1: {"assigned": 1, "trial": 1}, 2: {"trial": 1}}


def test_open_devices_are_those_of_rollouts_in_progress(store: Store, rollout, execution) -> None:
    store.fleet.rollouts.put(rollout("staging"))
    store.fleet.rollouts.put_executions([execution("a"), execution("b", "committed")])
    assert store.fleet.rollouts.open_devices("fashion") == {"a": "01"}
    store.fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
    assert store.fleet.rollouts.open_devices("fashion") == {}


def test_a_device_of_a_rollout_that_goes_back_is_not_free(store: Store, rollout, execution) -> None:
    store.fleet.rollouts.put(rollout("failed").model_copy(update={"state": "rolling_back"}))
    store.fleet.rollouts.put_executions([execution("a", "committed", generation=1)])
    assert store.fleet.rollouts.open_devices("fashion") == {"a": "01"}


def test_half_a_decision_is_never_kept(store: Store, execution) -> None:
    with pytest.raises(RuntimeError), store.fleet.transaction():
        store.fleet.rollouts.put_executions([execution("a")])
        raise RuntimeError("killed in between")
    assert store.fleet.rollouts.executions("01") == []


def test_what_was_kept_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    desired = DesiredRecord(
        device="d", model="m", generation=3, manifest=None, manifest_bytes=0, rollout=None, activate=True, trial_s=1
    )
    first.fleet.desired.put(desired)
    first.fleet.segments.put(SegmentRecord(name="eu", selector="region=eu"))
    first.fleet.registry.put_model(
        ModelRecord(name="m", version=1, files={"model.toml": "x"}, card=card(), created_ms=1)
    )
    first.close()
    second = open_store(tmp_path)
    assert second.fleet.desired.of("d") == [desired]
    assert second.fleet.segments.get("eu").selector == "region=eu"
    assert second.fleet.registry.model("m", 1).files == {"model.toml": "x"}
    second.close()


def test_a_blob_is_deliverable_only_if_it_was_made_so(store: Store) -> None:
    store.fleet.registry.put_blob("a", 5, deliverable=False)
    assert store.fleet.registry.deliverable_bytes("a") is None
    store.fleet.registry.put_blob("a", 5, deliverable=True)
    store.fleet.registry.put_blob("a", 5, deliverable=False)
    assert store.fleet.registry.deliverable_bytes("a") == 5


def test_what_is_not_there_is_said(store: Store) -> None:
    for ask in (
        lambda: store.fleet.registry.model("m", 1),
        lambda: store.fleet.rollouts.get("x"),
        lambda: store.fleet.devices.get("d"),
    ):
        with pytest.raises(NotFound):
            ask()


@pytest.mark.parametrize("name", ["fleet", "telemetry"])
def test_a_file_of_every_older_schema_opens(tmp_path: Path, name: str) -> None:
    migrations = {"fleet": FLEET, "telemetry": TELEMETRY}[name]
    steps = [m.name for m in migrations.pending(sqlite_utils.Database(memory=True))]
    for kept in range(len(steps) + 1):
        folder = tmp_path / str(kept)
        folder.mkdir()
        older = sqlite_utils.Database(folder / f"{name}.db")
        migrations.apply(older, stop_before=steps[kept] if kept < len(steps) else None)
        older.close()
        open_store(folder).close()


WINDOW = {
    **{"device": "d", "incarnation": INCARNATION, "received_ms": 5, "duration_ms": 1, "model": "fashion"},
    **{"model_version": 1, "variant": "a" * 64, "generation": 1, "region": "eu", "hardware": "rpi4", "link": "lte"},
    **{"requests": 3, "errors": 5, "not_finite": 7, "latency": None, "labelled": 13, "correct": 11},
    "predicted": '{"cat":17}',
}
MANY = 2**50  # as millionths they pass 63 bits
ROLLUP = {
    **{name: WINDOW[name] for name in ("model", "model_version", "variant", "hardware", "region", "link")},
    **{
        "start_ms": 0,
        "windows": 2,
        "requests": 19,
        "errors": 23,
        "not_finite": 29,
        "labelled": MANY,
        "correct": MANY - 1,
    },
    **{"predicted": '{"cat":31,"dog":37}', "latency": None},
}


@pytest.mark.parametrize("migration", ["m002_rollups", "m003_lost_windows", "m004_moments"])
def test_what_an_older_schema_counted_is_still_told(tmp_path: Path, migration: str) -> None:
    older = sqlite_utils.Database(tmp_path / "telemetry.db")
    TELEMETRY.apply(older, stop_before=migration)
    older["windows"].insert_all([{**WINDOW, "seq": seq} for seq in (1, 2)])
    told = Counters(
        ServingCounts(requests=6, errors=10, not_finite=14), Moments.of_hits(26, 22), categories={"cat": 34}
    )
    if migration != "m002_rollups":
        older["rollups"].insert_all([{**ROLLUP, "width_ms": width_ms} for width_ms in WIDTHS_MS])
        rolled = ServingCounts(requests=19, errors=23, not_finite=29)
        told.add(Counters(rolled, Moments.of_hits(MANY, MANY - 1), categories={"cat": 31, "dog": 37}))
    older.close()
    opened = open_store(tmp_path)
    (merged,) = aggregated(opened.telemetry, ())
    assert merged.counters == told
    (found,) = evidence(
        opened.telemetry, "fashion", {"eu/rpi4/lte": Compared("b" * 64, frozenset({"a" * 64}), frozenset())}, 9
    )
    assert (found.before.serving, found.before.scored.n) == (told.serving, told.scored.n)
    assert found.before.scored.mean == pytest.approx(told.scored.mean)
    opened.close()


def test_a_store_that_another_program_holds_is_refused_in_one_line_at_the_start(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "fleet.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateUnusable, match="another program holds the store: end it"):
            open_store(tmp_path)
