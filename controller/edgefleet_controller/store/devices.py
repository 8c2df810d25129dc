"""Devices, which of them belong to the fleet, segments, and what each device should run."""

import json
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from edgefleet_contract.devices import AdmissionRecord, DeviceStatus
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.errors import NotFound
from edgefleet_controller.records import DesiredRecord, DeviceRecord
from edgefleet_controller.store.database import Database, Into, Row
from edgefleet_protocol.messages import ReportedModel, ReportedState
from edgefleet_protocol.phases import ENDED

_DEVICES = """SELECT d.*, a.profile AS added_as, iif(a.device IS NULL, 'pending', 'accepted') AS status
              FROM devices d LEFT JOIN admissions a ON a.device = d.id"""


_JSON = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
_REPORTS = Into(
    "devices",
    (
        *("id", "incarnation", "online", "last_seen_ms", "first_seen_ms", "reported", "boot", "report"),
        *("region", "hardware", "link", "labels", "features"),
    ),
    key=("id",),
    kept=("first_seen_ms",),
)
_MODELS = Into(
    "device_models",
    ("device", "model", "generation", "version", "variant", "manifest", "phase"),
    key=("device", "model"),
)
_DESIRED = Into("desired", tuple(DesiredRecord.model_fields), key=("device", "model"))
_DESIRED_VALUES = attrgetter(*_DESIRED.columns)


class KnownSender(NamedTuple):
    """What is known of who reports under an id: None and False for a stranger."""

    incarnation: str | None = None
    boot: int = 0
    report: int = 0
    accepted: bool = False
    in_conflict: bool = False

    def knows(self, reported: ReportedState) -> bool:
        """Whether this snapshot, or a newer one of the same incarnation, is kept already."""
        kept = (self.boot, self.report)
        return self.incarnation == reported.incarnation and (reported.boot, reported.report) <= kept


class Sender(NamedTuple):
    """The parts of the profile that a device reported."""

    region: str
    hardware: str
    link: str


def _device(row: Row) -> DeviceRecord:
    return DeviceRecord.model_validate({**row, "reported": ReportedState.model_validate_json(row["reported"])})


def _columns(device: str, reported: ReportedState, now_ms: int) -> list[Any]:
    facts = reported.facts
    return [
        *(device, reported.incarnation, True, now_ms, now_ms, reported.model_dump_json()),
        *(reported.boot, reported.report),
        *(facts.region, facts.hardware, facts.link, _JSON(reported.labels), _JSON(sorted(reported.features))),
    ]


def _model_columns(device: str, name: str, said: ReportedModel) -> tuple[Any, ...]:
    # What a device is committed to, not what answers in a trial, nor the nothing that answers just after its start.
    held, attempt = said.committed or said.answering, said.attempt
    version, variant, manifest = (held.model_version, held.variant, held.manifest) if held else (None, None, None)
    return (device, name, said.generation, version, variant, manifest, attempt.phase if attempt else None)


def _counted(row: Row) -> tuple[tuple[str, ...], int]:
    return tuple(str(value) for column, value in row.items() if column != "n"), int(row["n"])


class DeviceStore:
    """The fleet as it reported itself, and as it should be."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_report(self, device: str, reported: ReportedState, now_ms: int) -> bool:
        """Keep a device's snapshot; False when a newer one of the same incarnation is already kept.

        It waits as pending until it is admitted.
        """
        with self._db.together():
            if self.standings([device])[device].knows(reported):
                return False
            self.put_reports({device: reported}, now_ms)
        return True

    def put_reports(self, reports: Mapping[str, ReportedState], now_ms: int) -> None:
        """Keep snapshots of several devices, each newer than the one that is kept."""
        with self._db.together():
            self._db.put_all(_REPORTS, [_columns(device, reported, now_ms) for device, reported in reports.items()])
            self._put_models(reports)

    def _put_models(self, reports: Mapping[str, ReportedState]) -> None:
        """Keep what answers, where it is no longer what is kept: most reports say nothing new of it."""
        row = self._db.row(
            """SELECT json_group_array(json_array(device, model, generation, version, variant, manifest, phase)) AS kept
               FROM device_models WHERE device IN (SELECT value FROM json_each(?))""",
            [json.dumps(list(reports))],
        )
        kept = {tuple(values) for values in json.loads(row["kept"])} if row else set()
        said = {_model_columns(d, name, m) for d, reported in reports.items() for name, m in reported.models.items()}
        gone = {values[:2] for values in kept} - {values[:2] for values in said}
        for device, model in gone:
            self._db.execute("DELETE FROM device_models WHERE device = ? AND model = ?", [device, model])
        self._db.put_all(_MODELS, list(said - kept))

    def standings(self, devices: Iterable[str]) -> dict[str, KnownSender]:
        """What is known of each of these: who reported last, how far, and whether it is of the fleet or in conflict."""
        row = self._db.row(
            """SELECT json_group_array(json_array(asked.value, d.incarnation, coalesce(d.boot, 0),
               coalesce(d.report, 0), a.device IS NOT NULL, c.device IS NOT NULL)) AS known FROM json_each(?) asked
               LEFT JOIN devices d ON d.id = asked.value LEFT JOIN admissions a ON a.device = asked.value
               LEFT JOIN conflicts c ON c.device = asked.value""",
            [json.dumps(list(devices))],
        )
        return {device: KnownSender(*known) for device, *known in json.loads(row["known"])} if row else {}

    def put_presence(self, device: str, incarnation: str, online: bool, now_ms: int) -> None:
        """Mark a known device as there or gone."""
        self._db.execute(
            "UPDATE devices SET online = ?, last_seen_ms = max(last_seen_ms, ?) WHERE id = ? AND incarnation = ?",
            [online, now_ms if online else 0, device, incarnation],
        )

    def put_unheard(self, since_ms: int) -> None:
        """Mark as gone whoever was not heard since then."""
        self._db.execute("UPDATE devices SET online = 0 WHERE online AND last_seen_ms < ?", [since_ms])

    def find(self, device: str) -> DeviceRecord | None:
        """A device, if it ever reported."""
        row = self._db.row(f"{_DEVICES} WHERE d.id = ?", [device])
        return _device(row) if row else None

    def get(self, device: str) -> DeviceRecord:
        """A device.

        Raises:
            NotFound: it never reported.
        """
        found = self.find(device)
        if found is None:
            raise NotFound(f"no device {device} has reported yet")
        return found

    def all(self, status: DeviceStatus | None = None) -> list[DeviceRecord]:
        """Every device, or those of one status, by id."""
        devices = (_device(row) for row in self._db.rows(f"{_DEVICES} ORDER BY d.id"))
        return [device for device in devices if status in (None, device.status)]

    def admit(self, admission: AdmissionRecord) -> None:
        """Take a device into the fleet, whether it has reported already or not."""
        self._db.put("admissions", admission.model_dump())

    def admission(self, device: str) -> AdmissionRecord | None:
        """Since when a device belongs to the fleet; None for a pending or an unknown one."""
        row = self._db.row("SELECT * FROM admissions WHERE device = ?", [device])
        return AdmissionRecord.model_validate(row) if row else None

    def senders(self, devices: Iterable[str]) -> dict[str, Sender | None]:
        """Which of these devices belong to the fleet, and the profile that each reported.

        None before it did, and while two agents claim its id: whose it is cannot be known then.
        """
        row = self._db.row(
            """SELECT json_group_array(json_array(a.device, d.region, d.hardware, d.link)) AS known
               FROM json_each(?) asked JOIN admissions a ON a.device = asked.value
               LEFT JOIN devices d ON d.id = a.device AND d.id NOT IN (SELECT device FROM conflicts)""",
            [json.dumps(list(devices))],
        )
        known = json.loads(row["known"]) if row else []
        return {device: Sender(*place) if place[0] else None for device, *place in known}

    def expected(self) -> list[AdmissionRecord]:
        """Devices that were added and have not reported yet."""
        rows = self._db.rows("SELECT * FROM admissions WHERE device NOT IN (SELECT id FROM devices) ORDER BY device")
        return [AdmissionRecord.model_validate(row) for row in rows]

    def count_pending(self) -> int:
        """How many devices wait to be accepted."""
        row = self._db.row("SELECT count(*) AS n FROM devices WHERE id NOT IN (SELECT device FROM admissions)")
        return int(row["n"]) if row else 0

    def count_devices(self) -> list[tuple[tuple[str, ...], int]]:
        """How many devices there are by status, online (true or false), region, hardware and link."""
        rows = self._db.committed(
            """SELECT iif(a.device IS NULL, 'pending', 'accepted') AS status, iif(d.online, 'true', 'false') AS online,
               d.region, d.hardware, d.link, count(*) AS n
               FROM devices d LEFT JOIN admissions a ON a.device = d.id GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
        )
        return [_counted(row) for row in rows]

    def count_models(self) -> list[tuple[tuple[str, ...], int]]:
        """How many accepted devices there are by model, version, answering variant, hardware and last phase."""
        rows = self._db.committed(
            """SELECT m.model, coalesce(m.version, '') AS version, coalesce(m.variant, '') AS variant, d.hardware,
               coalesce(m.phase, '') AS phase, count(*) AS n
               FROM device_models m JOIN devices d ON d.id = m.device JOIN admissions a ON a.device = d.id
               GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
        )
        return [_counted(row) for row in rows]

    def forget(self, device: str, now_ms: int) -> bool:
        """Remove a device and what it should run; whether there was one.

        Past rollouts keep its executions, so that their counts still add up; what was under way ends as removed.
        """
        marks = ", ".join("?" for _ in ENDED)
        with self._db.transaction():
            known = self._db.execute("DELETE FROM devices WHERE id = ?", [device])
            known += self._db.execute("DELETE FROM admissions WHERE device = ?", [device])
            for table in ("device_models", "desired", "incarnations", "conflicts"):
                self._db.execute(f"DELETE FROM {table} WHERE device = ?", [device])  # noqa: S608 - names of ours
            self._db.execute(
                f"""UPDATE executions SET phase = 'removed', detail = 'the device was removed', changed_ms = ?
                    WHERE device = ? AND phase NOT IN ({marks})""",  # noqa: S608 - only question marks
                [now_ms, device, *sorted(ENDED)],
            )
            # A rollback must not wait for a device that is no longer ours.
            self._db.execute(
                f"""UPDATE executions SET back_phase = 'removed'
                    WHERE device = ? AND (back_phase IS NULL OR back_phase NOT IN ({marks}))""",  # noqa: S608 - as above
                [device, *sorted(ENDED)],
            )
        return known > 0

    def put_segment(self, segment: SegmentRecord) -> None:
        """Save a named selector."""
        self._db.put("segments", segment.model_dump())

    def segments(self) -> list[SegmentRecord]:
        """All segments, by name."""
        return [SegmentRecord.model_validate(row) for row in self._db.rows("SELECT * FROM segments ORDER BY name")]

    def segment(self, name: str) -> SegmentRecord:
        """A segment by its name.

        Raises:
            NotFound: no such segment was saved.
        """
        row = self._db.row("SELECT * FROM segments WHERE name = ?", [name])
        if row is None:
            raise NotFound(f"no segment '{name}': save it first, with its selector")
        return SegmentRecord.model_validate(row)

    def desired(self, device: str) -> list[DesiredRecord]:
        """What a device should run, model by model."""
        rows = self._db.rows("SELECT * FROM desired WHERE device = ? ORDER BY model", [device])
        return [DesiredRecord.model_validate(row) for row in rows]

    def desired_by(self, devices: Iterable[str]) -> dict[str, list[DesiredRecord]]:
        """What each of these devices should run, model by model; nothing for one that was never told anything."""
        found: dict[str, list[DesiredRecord]] = {}
        for row in self._db.rows(
            "SELECT * FROM desired WHERE device IN (SELECT value FROM json_each(?)) ORDER BY device, model",
            [json.dumps(list(devices))],
        ):
            found.setdefault(row["device"], []).append(DesiredRecord.model_validate(row))
        return found

    def desired_of(self, model: str, devices: Iterable[str]) -> dict[str, DesiredRecord]:
        """What each of these devices should run of one model."""
        rows = self._db.rows(
            "SELECT * FROM desired WHERE model = ? AND device IN (SELECT value FROM json_each(?))",
            [model, json.dumps(list(devices))],
        )
        return {row["device"]: DesiredRecord.model_validate(row) for row in rows}

    def put_desired(self, *desired: DesiredRecord) -> None:
        """Change what devices should run."""
        self._db.put_all(_DESIRED, list(map(_DESIRED_VALUES, desired)))
