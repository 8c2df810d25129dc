"""Devices in memory."""

from collections import Counter
from collections.abc import Iterable, Mapping

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
from edgefleet_controller.store.glance import labels_text, model_at_a_glance, on_device
from edgefleet_controller.store.memory.fleet_tables import FleetTables, Report
from edgefleet_protocol.messages import ReportedState
from edgefleet_protocol.phases import ENDED


class MemoryDevices(DeviceRecords):
    """Reports by device, and admissions by device."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put_report(self, device: str, reported: ReportedState, now_ms: int) -> bool:
        with self._tables.changes.transaction():
            if self.standings([device])[device].knows(reported):
                return False
            self.put_reports({device: reported}, now_ms)
        return True

    def put_reports(self, reports: Mapping[str, ReportedState], now_ms: int) -> None:
        with self._tables.changes.transaction():
            for device, reported in reports.items():
                known = self._tables.devices.get(device)
                first_seen_ms = known.first_seen_ms if known else now_ms
                report = Report(reported, True, now_ms, first_seen_ms, labels_text(reported.labels))
                self._tables.devices.put(device, report)
                if known is None or (known.place, known.labels_json) != (report.place, report.labels_json):
                    self._tables.move(device)

    def put_presence(self, device: str, incarnation: str, online: bool, now_ms: int) -> None:
        with self._tables.changes.turn:
            known = self._tables.devices.get(device)
            if known and known.reported.incarnation == incarnation:
                seen_ms = max(known.last_seen_ms, now_ms if online else 0)
                self._tables.devices.put(device, known._replace(online=online, last_seen_ms=seen_ms))

    def put_unheard(self, since_ms: int) -> None:
        with self._tables.changes.transaction():
            for device, known in self._tables.devices.items():
                if known.online and known.last_seen_ms < since_ms:
                    self._tables.devices.put(device, known._replace(online=False))

    def standings(self, devices: Iterable[str]) -> dict[str, KnownSender]:
        with self._tables.changes.turn:
            return {device: self._standing(device) for device in devices}

    def _standing(self, device: str) -> KnownSender:
        accepted, in_conflict = device in self._tables.admissions, device in self._tables.conflicts
        known = self._tables.devices.get(device)
        if known is None:
            return KnownSender(accepted=accepted, in_conflict=in_conflict)
        said = known.reported
        return KnownSender(said.incarnation, said.boot, said.report, accepted, in_conflict)

    def find(self, device: str) -> DeviceRecord | None:
        with self._tables.changes.turn:
            known, admission = self._tables.devices.get(device), self._tables.admissions.get(device)
            annotation = self._tables.annotations.get(device) or Annotation()
        if known is None:
            return None
        return DeviceRecord(
            id=device,
            status="accepted" if admission else "pending",
            added_as=admission.profile if admission else None,
            incarnation=known.reported.incarnation,
            online=known.online,
            last_seen_ms=known.last_seen_ms,
            first_seen_ms=known.first_seen_ms,
            reported=known.reported,
            annotation=annotation,
        )

    def get(self, device: str) -> DeviceRecord:
        found = self.find(device)
        if found is None:
            raise no_device(device)
        return found

    def all(self, status: DeviceStatus | None = None) -> list[DeviceRecord]:
        with self._tables.changes.turn:
            devices = [self.get(device) for device, _ in sorted(self._tables.devices.items())]
        return [device for device in devices if status in (None, device.status)]

    def admit(self, admission: AdmissionRecord) -> None:
        with self._tables.changes.transaction():
            self._tables.admissions.put(admission.device, admission)
            self._tables.move(admission.device)

    def admission(self, device: str) -> AdmissionRecord | None:
        with self._tables.changes.turn:
            return self._tables.admissions.get(device)

    def on_devices(self, devices: Iterable[str]) -> dict[str, OnDevice]:
        with self._tables.changes.turn:
            found = ((device, self._tables.devices.get(device)) for device in devices)
            said = {device: known.reported for device, known in found if known}
        told = {device: one.model_dump(mode="json") for device, one in said.items()}
        return {name: on_device(one["features"], one["models"], one["facts"]["memory"]) for name, one in told.items()}

    def expected(self) -> list[AdmissionRecord]:
        with self._tables.changes.turn:
            return [a for a in self._tables.admissions.by_key() if a.device not in self._tables.devices]

    def senders(self, devices: Iterable[str]) -> dict[str, Sender | None]:
        with self._tables.changes.turn:
            return {device: self._sender(device) for device in devices if device in self._tables.admissions}

    def _sender(self, device: str) -> Sender | None:
        known = self._tables.devices.get(device)
        return Sender(*known.place) if known and device not in self._tables.conflicts else None

    def measured_kbps(self) -> dict[str, float]:
        with self._tables.changes.turn:
            found = ((device, known.reported.measured_kbps) for device, known in self._tables.devices.items())
            return {device: kbps for device, kbps in found if kbps is not None}

    def count_pending(self) -> int:
        with self._tables.changes.turn:
            return sum(device not in self._tables.admissions for device, _ in self._tables.devices.items())

    def count_devices(self) -> dict[DeviceGroup, int]:
        devices, admissions = self._tables.changes.committed(self._tables.devices, self._tables.admissions)
        counts = Counter(
            DeviceGroup("accepted" if device in admissions else "pending", str(report.online).lower(), *report.place)
            for device, report in devices.items()
        )
        return dict(sorted(counts.items()))

    def count_models(self) -> dict[ModelGroup, int]:
        devices, admissions = self._tables.changes.committed(self._tables.devices, self._tables.admissions)
        counts: Counter[ModelGroup] = Counter()
        for device, report in devices.items():
            for name, said in report.reported.models.items() if device in admissions else ():
                known = model_at_a_glance(said)
                version = "" if known.version is None else str(known.version)
                _, hardware, _ = report.place
                counts[ModelGroup(name, version, known.variant or "", hardware, known.phase or "")] += 1
        return dict(sorted(counts.items()))

    def forget(self, device: str, now_ms: int) -> bool:
        tables = self._tables
        with tables.changes.transaction():
            report = tables.devices.get(device)
            simulated = report is not None and report.reported.facts.simulated
            gone = [tables.devices.pop(device), tables.admissions.pop(device)]
            tables.conflicts.pop(device)
            tables.annotations.pop(device)
            for desired in tables.desired.where("device", device):
                tables.desired.pop(desired)
            for incarnation in tables.incarnations.where("device", device):
                tables.incarnations.pop(incarnation)
            for execution in tables.executions_of(device):
                left: dict[str, object] = {}
                if execution.removed_ms is None:
                    left = {"removed_ms": now_ms, "simulated": simulated}
                if execution.phase not in ENDED:
                    left |= {"phase": "removed", "detail": "the device was removed", "changed_ms": now_ms}
                tables.put_execution(execution.model_copy(update=left))
        return any(gone)
