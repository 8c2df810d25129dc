"""The fleet at a glance in memory."""

from collections.abc import Iterable

from edgefleet_contract.devices import DeviceStatus
from edgefleet_controller.store.contract.members import Member, Members
from edgefleet_controller.store.glance import features_text, labels_text, model_at_a_glance
from edgefleet_controller.store.memory.fleet_tables import FleetTables, Report


class MemoryMembers(Members):
    """Reads the reports, which are already objects here."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def all(
        self,
        model: str | None = None,
        status: DeviceStatus | None = "accepted",
        *,
        after: str = "",
        at_most: int | None = None,
    ) -> list[Member]:
        with self._tables.changes.turn:
            admitted = self._tables.admissions
            found = sorted(
                (device, report)
                for device, report in self._tables.devices.items()
                if device > after and status in (None, "accepted" if device in admitted else "pending")
            )
        return [self._member(device, report, model) for device, report in found[:at_most]]

    def some(self, devices: Iterable[str], model: str | None = None) -> list[Member]:
        with self._tables.changes.turn:
            found = {
                device: self._tables.devices.get(device) for device in devices if device in self._tables.admissions
            }
        return [self._member(device, report, model) for device, report in found.items() if report]

    def revision(self) -> int:
        with self._tables.changes.turn:
            return self._tables.moves.value

    def newcomers(self, rollout: str, model: str, since: int | None) -> list[Member]:
        tables = self._tables
        with tables.changes.turn:
            asked = [
                device
                for device, revision in tables.moved.items()
                if (since is None or revision > since) and (rollout, device) not in tables.executions
            ]
            return self.some(asked, model)

    def given_later(self, devices: Iterable[str], model: str, rollout: str) -> set[str]:
        found = set()
        with self._tables.changes.turn:
            for device in devices:
                report = self._tables.devices.get(device)
                said = report.reported.models.get(model) if report else None
                if said and said.attempt and (said.attempt.rollout or "") > rollout:
                    found.add(device)
        return found

    def profiles(self) -> list[str]:
        return sorted({member.profile for member in self.all()})

    def _member(self, device: str, report: Report, model: str | None) -> Member:
        said = report.reported.models.get(model) if model else None
        known = model_at_a_glance(said) if said else None
        answering = (known.generation, known.variant, known.manifest) if known else (0, None, None)
        admission, annotation = self._tables.admissions.get(device), self._tables.annotations.get(device)
        features, added_as = features_text(report.reported), admission.profile if admission else None
        labels = report.labels_json
        if annotation and annotation.labels:
            labels = labels_text({**report.reported.labels, **annotation.labels})
        return Member(device, "/".join(report.place), labels, *answering, features, added_as)
