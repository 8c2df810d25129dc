"""Devices in SQLite: whole reports, with columns beside them for plans, listings and counts."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgefleet_contract.devices import AdmissionRecord, DeviceStatus
from edgefleet_controller.records import Annotation, DeviceRecord
from edgefleet_controller.store.contract.devices import (
    DeviceGroup,
    DeviceRecords,
    KnownSender,
    ModelGroup,
    OnDevice,
    Sender,
)
from edgefleet_controller.store.contract.not_found import no_device
from edgefleet_controller.store.glance import (
    ModelAtAGlance,
    features_text,
    labels_text,
    model_at_a_glance,
    on_device,
)
from edgefleet_controller.store.sqlite.database import Database, Into, TableRow
from edgefleet_protocol.messages import ReportedState
from edgefleet_protocol.phases import ENDED

_DEVICES = """SELECT d.*, a.profile AS added_as, iif(a.device IS NULL, 'pending', 'accepted') AS status,
              json_object('labels', json(coalesce(n.labels, '{}')), 'note', n.note) AS annotation
              FROM devices d LEFT JOIN admissions a ON a.device = d.id LEFT JOIN annotations n ON n.device = d.id"""


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
    ("device", "model", *ModelAtAGlance._fields),
    key=("device", "model"),
)


def _device(row: TableRow) -> DeviceRecord:
    reported = ReportedState.model_validate_json(row["reported"])
    annotation = Annotation.model_validate_json(row["annotation"])
    return DeviceRecord.model_validate({**row, "reported": reported, "annotation": annotation})


def _columns(device: str, reported: ReportedState, now_ms: int) -> list[Any]:
    facts = reported.facts
    return [
        *(device, reported.incarnation, True, now_ms, now_ms, reported.model_dump_json()),
        *(reported.boot, reported.report),
        *(facts.region, facts.hardware, facts.link, labels_text(reported.labels), features_text(reported)),
    ]


class SqliteDevices(DeviceRecords):
    """A row per device, and one per model on it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_report(self, device: str, reported: ReportedState, now_ms: int) -> bool:
        with self._db.together():
            if self.standings([device])[device].knows(reported):
                return False
            self.put_reports({device: reported}, now_ms)
        return True

    def put_reports(self, reports: Mapping[str, ReportedState], now_ms: int) -> None:
        with self._db.together():
            self._db.put_all(_REPORTS, [_columns(device, reported, now_ms) for device, reported in reports.items()])
            self._put_models(reports)

    def _put_models(self, reports: Mapping[str, ReportedState]) -> None:
        """Store what answers, but only rows that changed: most reports bring nothing new."""
        row = self._db.row(
            """SELECT json_group_array(json_array(device, model, generation, version, variant, manifest, phase)) AS kept
               FROM device_models WHERE device IN (SELECT value FROM json_each(?))""",
            [json.dumps(list(reports))],
        )
        kept = {tuple(values) for values in json.loads(row["kept"])} if row else set()
        said = {(d, n, *model_at_a_glance(m)) for d, reported in reports.items() for n, m in reported.models.items()}
        gone = {values[:2] for values in kept} - {values[:2] for values in said}
        for device, model in gone:
            self._db.execute("DELETE FROM device_models WHERE device = ? AND model = ?", [device, model])
        self._db.put_all(_MODELS, list(said - kept))

    def standings(self, devices: Iterable[str]) -> dict[str, KnownSender]:
        row = self._db.row(
            """SELECT json_group_array(json_array(asked.value, d.incarnation, coalesce(d.boot, 0),
               coalesce(d.report, 0), a.device IS NOT NULL, c.device IS NOT NULL)) AS known FROM json_each(?) asked
               LEFT JOIN devices d ON d.id = asked.value LEFT JOIN admissions a ON a.device = asked.value
               LEFT JOIN conflicts c ON c.device = asked.value""",
            [json.dumps(list(devices))],
        )
        return {device: KnownSender(*known) for device, *known in json.loads(row["known"])} if row else {}

    def put_presence(self, device: str, incarnation: str, online: bool, now_ms: int) -> None:
        self._db.execute(
            "UPDATE devices SET online = ?, last_seen_ms = max(last_seen_ms, ?) WHERE id = ? AND incarnation = ?",
            [online, now_ms if online else 0, device, incarnation],
        )

    def put_unheard(self, since_ms: int) -> None:
        self._db.execute("UPDATE devices SET online = 0 WHERE online AND last_seen_ms < ?", [since_ms])

    def find(self, device: str) -> DeviceRecord | None:
        row = self._db.row(f"{_DEVICES} WHERE d.id = ?", [device])
        return _device(row) if row else None

    def get(self, device: str) -> DeviceRecord:
        found = self.find(device)
        if found is None:
            raise no_device(device)
        return found

    def all(self, status: DeviceStatus | None = None) -> list[DeviceRecord]:
        devices = (_device(row) for row in self._db.rows(f"{_DEVICES} ORDER BY d.id"))
        return [device for device in devices if status in (None, device.status)]

    def admit(self, admission: AdmissionRecord) -> None:
        self._db.put("admissions", admission.model_dump())

    def admission(self, device: str) -> AdmissionRecord | None:
        row = self._db.row("SELECT * FROM admissions WHERE device = ?", [device])
        return AdmissionRecord.model_validate(row) if row else None

    def senders(self, devices: Iterable[str]) -> dict[str, Sender | None]:
        row = self._db.row(
            """SELECT json_group_array(json_array(a.device, d.region, d.hardware, d.link)) AS known
               FROM json_each(?) asked JOIN admissions a ON a.device = asked.value
               LEFT JOIN devices d ON d.id = a.device AND d.id NOT IN (SELECT device FROM conflicts)""",
            [json.dumps(list(devices))],
        )
        known = json.loads(row["known"]) if row else []
        return {device: Sender(*place) if place[0] else None for device, *place in known}

    def measured_kbps(self) -> dict[str, float]:
        rows = self._db.rows(
            """SELECT id, json_extract(reported, '$.measured_kbps') AS kbps FROM devices
               WHERE json_extract(reported, '$.measured_kbps') IS NOT NULL"""
        )
        return {row["id"]: float(row["kbps"]) for row in rows}

    def on_devices(self, devices: Iterable[str]) -> dict[str, OnDevice]:
        rows = self._db.rows(
            """SELECT id, json_extract(reported, '$.features', '$.models', '$.facts.memory') AS told
               FROM devices WHERE id IN (SELECT value FROM json_each(?))""",
            [json.dumps(list(devices))],
        )
        return {row["id"]: on_device(*json.loads(row["told"])) for row in rows}

    def expected(self) -> list[AdmissionRecord]:
        rows = self._db.rows("SELECT * FROM admissions WHERE device NOT IN (SELECT id FROM devices) ORDER BY device")
        return [AdmissionRecord.model_validate(row) for row in rows]

    def count_pending(self) -> int:
        row = self._db.row("SELECT count(*) AS n FROM devices WHERE id NOT IN (SELECT device FROM admissions)")
        return int(row["n"]) if row else 0

    def count_devices(self) -> dict[DeviceGroup, int]:
        rows = self._db.committed(
            """SELECT iif(a.device IS NULL, 'pending', 'accepted') AS status, iif(d.online, 'true', 'false') AS online,
               d.region, d.hardware, d.link, count(*) AS n
               FROM devices d LEFT JOIN admissions a ON a.device = d.id GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
        )
        return {DeviceGroup(*group): count for *group, count in rows}

    def count_models(self) -> dict[ModelGroup, int]:
        rows = self._db.committed(
            """SELECT m.model, coalesce(CAST(m.version AS TEXT), '') AS version,
               coalesce(m.variant, '') AS variant, d.hardware,
               coalesce(m.phase, '') AS phase, count(*) AS n
               FROM device_models m JOIN devices d ON d.id = m.device JOIN admissions a ON a.device = d.id
               GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
        )
        return {ModelGroup(*group): count for *group, count in rows}

    def forget(self, device: str, now_ms: int) -> bool:
        marks = ", ".join("?" for _ in ENDED)
        with self._db.transaction():
            self._db.execute(
                """UPDATE executions SET removed_ms = ?, simulated = coalesce(
                       (SELECT json_extract(reported, '$.facts.simulated') FROM devices WHERE id = device), 0)
                   WHERE device = ? AND removed_ms IS NULL""",
                [now_ms, device],
            )
            known = self._db.execute("DELETE FROM devices WHERE id = ?", [device])
            known += self._db.execute("DELETE FROM admissions WHERE device = ?", [device])
            for table in ("device_models", "desired", "incarnations", "conflicts", "annotations"):
                self._db.execute(f"DELETE FROM {table} WHERE device = ?", [device])  # noqa: S608 - our own names
            self._db.execute(
                f"""UPDATE executions SET phase = 'removed', detail = 'the device was removed', changed_ms = ?
                    WHERE device = ? AND phase NOT IN ({marks})""",  # noqa: S608 - only question marks
                [now_ms, device, *sorted(ENDED)],
            )
        return known > 0
