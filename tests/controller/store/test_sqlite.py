"""SQLite keeps the contract, and its files outlive the process: what was kept is read back, older files still open."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from tests.cards import card
from tests.controller.asking import aggregated, evidence
from tests.controller.store.contract.fleet import FleetStoreContract
from tests.controller.store.contract.registry import choice, model
from tests.controller.store.contract.rollups import requests_by_hour, roll_up
from tests.controller.store.contract.telemetry import TelemetryStoreContract
from tests.controller.store.making import INCARNATION, T0, of_a_fleet
from tests.reports import report_with

from edgefleet_contract.devices import HeardRecord
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.rollouts import RolloutSpec, WaveRecord
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.errors import StateUnusable, StoreFault
from edgefleet_controller.records import DesiredRecord, ModelRecord, RolloutRecord, VariantRecord
from edgefleet_controller.store import FleetStore, Store
from edgefleet_controller.store.contract.aggregates import FOREVER_MS
from edgefleet_controller.store.contract.evidence import Compared
from edgefleet_controller.store.merging import WIDTHS_MS
from edgefleet_controller.store.sqlite import open_store
from edgefleet_controller.store.sqlite.fleet_migrations import FLEET
from edgefleet_controller.store.sqlite.telemetry_migrations import TELEMETRY
from edgefleet_protocol.counters import Counters, ServingCounts
from edgefleet_protocol.messages import ReportedModel
from edgefleet_protocol.moments import Moments


class Sqlite:
    @pytest.fixture(autouse=True)
    def _new_files(self, tmp_path: Path, new_files: Path) -> None:
        shutil.copytree(new_files, tmp_path, dirs_exist_ok=True)

    def make_store(self, folder: Path) -> Store:
        return open_store(folder)


class TestSqliteFleet(Sqlite, FleetStoreContract):
    pass


class TestSqliteTelemetry(Sqlite, TelemetryStoreContract):
    pass


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


@pytest.mark.parametrize("name", ["fleet", "telemetry"])
def test_a_file_of_every_older_schema_opens(tmp_path: Path, name: str) -> None:
    migrations = {"fleet": FLEET, "telemetry": TELEMETRY}[name]
    with closing(sqlite_utils.Database(memory=True)) as empty:
        steps = [m.name for m in migrations.pending(empty)]
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


def test_an_older_file_tells_which_variants_gates_have_rejected(tmp_path: Path) -> None:
    older = sqlite_utils.Database(tmp_path / "fleet.db")
    FLEET.apply(older, stop_before="m009_verdicts")
    spec = json.dumps({"model": "fashion", "version": 1})
    ended = {"1": "completed", "2": "cancelled", "3": "cancelled", "4": "rolled_back", "5": "completed"}
    waves = {"1": ("passed", "passed"), "2": ("passed", "failed"), "3": ("activating",), "4": ("soaking",), "5": ()}
    for n, state in ended.items():
        when = {"created_ms": int(n), "changed_ms": int(n) * 10}
        older["rollouts"].insert({"id": n, "spec": spec, "state": state, "reason": None, **when})
        for number, of in enumerate(waves[n], start=1):
            older["waves"].insert({"rollout": n, "number": number, "state": of, "since_ms": int(n)})
        for number in (1, 2):
            older["executions"].insert(
                {
                    **{"rollout": n, "device": f"d{number}", "wave": number, "profile": "p", "variant": f"v{n}"},
                    **{"manifest": f"m{n}", "manifest_bytes": 9, "directive": "activate", "phase": "committed"},
                    **{"changed_ms": 1, "previous_variant": "before", "previous_manifest": "mb"},
                    "previous_manifest_bytes": 5,
                }
            )
    older.close()
    store = open_store(tmp_path)
    fleet = store.fleet
    assert [(v.variant, v.passed) for v in fleet.verdicts.of("fashion")] == [("v1", True), ("v2", False), ("v4", False)]
    back = fleet.rollouts.executions("1")[0]
    assert (back.back_variant, back.back_manifest, back.back_manifest_bytes) == ("before", "mb", 5)
    assert [w.state for n in "1234" for w in fleet.rollouts.get(n).waves] == [
        *("passed", "passed", "passed", "failed"),
        *("inconclusive", "inconclusive"),
    ]
    store.close()


def test_an_older_file_tells_removed_devices_from_those_that_are_back(tmp_path: Path) -> None:
    older = sqlite_utils.Database(tmp_path / "fleet.db")
    FLEET.apply(older, stop_before="m012_removed_devices")
    common = {
        **{"rollout": "01", "wave": 1, "profile": "p", "manifest_bytes": 9, "directive": "activate", "changed_ms": 5},
        **{"phase": "committed", "back_generation": None, "back_phase": None, "back_manifest": None},
    }
    told = {"back_generation": 3, "back_manifest": "m"}
    older["executions"].insert_all(
        [
            {**common, "device": "removed-at-the-end", "back_phase": "removed"},
            {**common, "device": "removed-in-between", **told, "back_phase": "removed"},
            {**common, "device": "removed-when-back", **told, "back_phase": "committed"},
            {**common, "device": "removed-unnoted", "phase": "removed", "back_phase": "removed", "changed_ms": 6},
            {**common, "device": "serves-nothing", "back_generation": 3, "back_phase": "removed"},
            {**common, "device": "removed-before", "changed_ms": 8},
            {**common, "device": "still-there"},
        ]
    )
    for device in ("removed-at-the-end", "removed-in-between", "removed-when-back", "removed-before"):
        older["audit"].insert({"at_ms": 7, "what": "device removed", "subject": device, "detail": None})
    older.close()
    store = open_store(tmp_path)
    assert {e.device: (e.removed_ms, e.back_phase) for e in store.fleet.rollouts.executions("01")} == {
        "removed-at-the-end": (7, None),
        "removed-in-between": (7, "assigned"),
        "removed-when-back": (7, "committed"),
        "removed-unnoted": (6, None),
        "serves-nothing": (None, "removed"),
        "removed-before": (None, None),
        "still-there": (None, None),
    }
    assert store.fleet.rollouts.counts_back("01") == {"assigned": 1, "committed": 1, "removed": 1}
    store.close()


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
    waiting = {WINDOW["device"]: WINDOW["incarnation"]}
    compared = {"eu/rpi4/lte": Compared("b" * 64, frozenset({"a" * 64}), {}, waiting)}
    (found,) = evidence(opened.telemetry, "fashion", compared, FOREVER_MS)
    assert found.before == {WINDOW["device"]: Moments.of_hits(26, 22)}
    opened.close()


@pytest.mark.parametrize("name", ["fleet", "telemetry"])
def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    open_store(tmp_path).close()
    path = tmp_path / f"{name}.db"
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, 'm999_later', '')", [name]
        )
    before = path.read_bytes()
    with pytest.raises(StateUnusable) as refused:
        open_store(tmp_path)
    assert str(refused.value) == (
        f"{path} was written by a newer version of edgefleet, with migration 'm999_later': install the newer version, "
        "or restore the backup of the state folder"
    )
    assert path.read_bytes() == before


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text TEXT)")


def malformed(path: Path) -> None:
    open_store(path.parent).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 3996 + content[4096:])


@pytest.mark.parametrize("name", ["fleet", "telemetry"])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (damaged, "file is not a database"),
        (malformed, "malformed"),
        (of_another_program, "its tables are of another program"),
        (Path.mkdir, "is not a file: move it away"),
    ],
)
def test_a_file_that_is_no_store_is_named_with_the_remedy(
    tmp_path: Path, name: str, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / f"{name}.db"
    make(path)
    with pytest.raises(StateUnusable) as refused:
        open_store(tmp_path)
    assert str(refused.value).startswith(f"{path} ") and reason in str(refused.value)
    assert str(refused.value).endswith("restore the backup of the state folder")


def test_a_damaged_package_beside_ours_does_not_keep_the_store_closed(tmp_path: Path) -> None:
    info = tmp_path / "site" / "latin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_bytes(b"[sqlite_utils]\n\xff = nowhere\n")
    code = "import sys, pathlib; from edgefleet_controller.store.sqlite import open_store; "
    code += "open_store(pathlib.Path(sys.argv[1]))"
    told = {**os.environ, "PYTHONPATH": str(info.parent), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=told, check=True, timeout=60)


def test_a_store_that_another_program_holds_is_refused_in_one_line_at_the_start(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "fleet.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateUnusable, match="another program holds the store: stop it"):
            open_store(tmp_path)


def test_half_a_roll_up_is_never_kept(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    first.telemetry.windows.put(of_a_fleet())
    before = aggregated(first.telemetry, ("variant",))
    first.telemetry.rollups.roll_up(FOREVER_MS, 20)
    with pytest.raises(RuntimeError), first.telemetry.transaction():
        first.telemetry.rollups.roll_up(FOREVER_MS, 20)
        raise RuntimeError("killed before COMMIT")
    first.close()
    second = open_store(tmp_path)
    assert roll_up(second.telemetry) == len(of_a_fleet()) - 20
    assert aggregated(second.telemetry, ("variant",)) == before
    second.close()


def test_windows_of_the_first_schema_are_rolled_up_like_any(tmp_path: Path) -> None:
    older = sqlite_utils.Database(tmp_path / "telemetry.db")
    TELEMETRY.apply(older, stop_before="m002_rollups")
    older.execute(
        f"INSERT INTO windows VALUES ({', '.join('?' * 20)})",
        [
            "d",
            INCARNATION,
            1,
            T0 + 5,
            None,
            1,
            "fashion",
            1,
            "a" * 64,
            1,
            "eu",
            "rpi4",
            "lte",
            9,
            0,
            0,
            None,
            0,
            0,
            "{}",
        ],
    )
    older.execute("INSERT INTO acked VALUES ('d', ?, 1)", [INCARNATION])
    older.close()
    opened = open_store(tmp_path)
    assert roll_up(opened.telemetry) == 1
    assert requests_by_hour(opened.telemetry) == [(T0, 9)]
    opened.close()


LOADED = report_with(models={"fashion": ReportedModel()})
BUILT = VariantRecord(
    **{"id": "b" * 64, "model": "fashion", "version": 1, "recipe": "fp32", "title": "as it is", "created_ms": 1},
    **{"instruction_sets": (), "manifest": "c" * 64, "manifest_bytes": 1, "delivery_bytes": {}, "metrics": Metrics()},
    **{"runtime": {}, "steps": ()},
)
WAVE = WaveRecord(number=1, since_ms=0)
ROLLOUT = RolloutRecord(
    **{"id": "01", "spec": RolloutSpec(model="fashion", version=1), "state": "running", "waves": (WAVE,)},
    **{"created_ms": 1, "changed_ms": 1},
)
REFUSED = "CREATE TEMP TRIGGER refused BEFORE {event} BEGIN SELECT RAISE(ABORT, 'refused'); END"
HEARD = HeardRecord(incarnation=INCARNATION, last_seen_ms=5)


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("UPDATE ON executions", lambda fleet: fleet.conflicts.begin("d", "two agents", 5)),
        ("INSERT ON incarnations", lambda fleet: fleet.conflicts.keep("d", HEARD, forget_before_ms=9)),
        ("UPDATE ON executions", lambda fleet: fleet.devices.forget("d", 5)),
        ("INSERT ON device_models", lambda fleet: fleet.devices.put_report("e", LOADED, 5)),
        ("INSERT ON choices", lambda fleet: fleet.registry.put_variants([BUILT], [choice("eu/rpi4/lte")])),
        ("INSERT ON waves", lambda fleet: fleet.rollouts.put(ROLLOUT)),
        ("DELETE ON models", lambda fleet: fleet.references.remove_model("fashion", 1)),
    ],
)
def test_a_change_of_which_a_part_fails_leaves_nothing(
    tmp_path: Path, new_files: Path, event: str, change: Callable[[FleetStore], object], execution: Any, reported: Any
) -> None:
    store = open_store(shutil.copytree(new_files, tmp_path / "state"))
    store.fleet.devices.put_report("d", reported(), 1)
    store.fleet.rollouts.put_executions([execution("d")])
    store.fleet.conflicts.keep("d", HEARD, forget_before_ms=0)
    store.fleet.registry.put_model(model())
    store.fleet.registry.put_variants([BUILT], [])
    with closing(sqlite3.connect(tmp_path / "state" / "fleet.db")) as file:
        before = list(file.iterdump())
    store.fleet.registry._db.execute(REFUSED.format(event=event))
    with pytest.raises(StoreFault, match="refused"):
        change(store.fleet)
    store.close()
    with closing(sqlite3.connect(tmp_path / "state" / "fleet.db")) as file:
        assert list(file.iterdump()) == before
