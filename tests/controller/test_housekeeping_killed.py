"""Housekeeping in a process of its own, killed at every step of it: nothing is counted twice, lost, or promised."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.controller.asking import aggregated

from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.failpoints import ControllerFailpoint
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.sqlite import open_store
from edgefleet_protocol.messages import TelemetryWindow

POINTS: tuple[ControllerFailpoint, ...] = (
    *("slice_added", "slice_rolled", "slice_deleted", "slice_forgotten"),
    *("blob_forgotten", "blob_removed"),
)
WINDOWS, INCARNATION = 40, "1" * 32
ROUND = """
import sys
from pathlib import Path
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.failpoints import arm
from edgefleet_controller.housekeeping import Housekeeping
from edgefleet_controller.store import Store
from edgefleet_controller.store.sqlite import open_store

folder, at_ms, point = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
arm(point[0] if point else None)
time = lambda: at_ms
house = Housekeeping(open_store(folder), BlobFolder(folder / "blobs"), clock=time, file_clock=time)
house.telemetry()
house.collect()
"""


def window(seq: int) -> TelemetryWindow:
    return TelemetryWindow(
        **{"incarnation": INCARNATION, "seq": seq, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
        **{"variant": "a" * 64, "generation": 1, "duration_ms": 1000, "requests": 10, "labelled": 2, "correct": 1},
    )


def keep_house(folder: Path, at_ms: int, *point: str) -> int:
    argv = [sys.executable, "-c", ROUND, str(folder), str(at_ms), *point]
    return subprocess.run(argv, timeout=60, check=False).returncode


def counted(store: Store) -> list[tuple[int, int, int]]:
    return [(a.windows, a.counters.serving.requests, a.counters.scored.n) for a in aggregated(store.telemetry)]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_it_goes_on_where_it_was(
    tmp_path: Path, point: ControllerFailpoint, record_property
) -> None:
    now = now_ms()
    store, blobs = open_store(tmp_path), BlobFolder(tmp_path / "blobs")
    received = now - 2 * HOUR_MS
    windows = [StoredWindow("d1", window(seq), None, received) for seq in range(1, WINDOWS + 1)]
    store.telemetry.windows.put(windows)
    names = [blobs.put(bytes([number]) * 100) for number in range(3)]
    for name in names:
        store.fleet.registry.put_blob(name, 100, deliverable=True)
    store.close()
    # Three days later the windows are rolled up and deleted, and the blobs, which nothing names, are collected.
    later = now + 72 * HOUR_MS
    assert keep_house(tmp_path, later, point) == -signal.SIGKILL, f"{point} was not reached"
    store = open_store(tmp_path)
    assert counted(store) == [(WINDOWS, 10 * WINDOWS, 2 * WINDOWS)]
    assert all(blobs.path(name).exists() for name in store.fleet.references.blobs()), (
        "a row promises a blob that is gone"
    )
    # What comes again after the kill is no news, whether its row is still there or not.
    store.telemetry.windows.put(windows)
    store.close()
    assert keep_house(tmp_path, later) == 0
    store = open_store(tmp_path)
    assert counted(store) == [(WINDOWS, 10 * WINDOWS, 2 * WINDOWS)]
    assert store.telemetry.windows.count() == 0
    assert not store.fleet.references.blobs() and not list(blobs.written_ms())
    store.close()
    record_property("failpoint", f"controller {point}")
