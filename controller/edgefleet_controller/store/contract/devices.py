"""Devices as they reported themselves, and which of them belong to the fleet."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from edgefleet_contract.devices import AdmissionRecord, DeviceStatus
from edgefleet_controller.records import DeviceRecord
from edgefleet_protocol.messages import ReportedState


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


class DeviceGroup(NamedTuple):
    """What devices are counted by; `online` is true or false in words."""

    status: DeviceStatus
    online: str
    region: str
    hardware: str
    link: str


class ModelGroup(NamedTuple):
    """What models on devices are counted by; empty where nothing answers, or where there was no attempt."""

    model: str
    version: str
    variant: str
    hardware: str
    phase: str


class DeviceRecords(Protocol):
    """A device is there once it has reported; it belongs to the fleet once it is admitted, before or after that."""

    def put_report(self, device: str, reported: ReportedState, now_ms: int) -> bool:
        """Keep a device's snapshot; False, and nothing changed, when this or a newer one of its incarnation is kept.

        It is online then, and was heard now; when it was seen first MUST stay.
        """

    def put_reports(self, reports: Mapping[str, ReportedState], now_ms: int) -> None:
        """Keep snapshots of several devices, whether or not a newer one is kept."""

    def put_presence(self, device: str, incarnation: str, online: bool, now_ms: int) -> None:
        """Mark a device as there or gone, if this incarnation is the one that reported last.

        When it was heard last MUST never go back, and one that goes is not heard by it.
        """

    def put_unheard(self, since_ms: int) -> None:
        """Mark as gone whoever was not heard since then."""

    def standings(self, devices: Iterable[str]) -> dict[str, KnownSender]:
        """What is known of each of these; MUST have an entry for each."""

    def find(self, device: str) -> DeviceRecord | None:
        """A device, if it ever reported."""

    def get(self, device: str) -> DeviceRecord:
        """A device.

        Raises:
            NotFound: it never reported.
        """

    def all(self, status: DeviceStatus | None = None) -> list[DeviceRecord]:
        """Every device that has reported, or those of one status; MUST be by id."""

    def admit(self, admission: AdmissionRecord) -> None:
        """Take a device into the fleet, whether it has reported already or not."""

    def admission(self, device: str) -> AdmissionRecord | None:
        """Since when a device belongs to the fleet; None for a pending or an unknown one."""

    def expected(self) -> list[AdmissionRecord]:
        """Devices that were admitted and have not reported yet; MUST be by id."""

    def senders(self, devices: Iterable[str]) -> dict[str, Sender | None]:
        """Which of these devices belong to the fleet, and the profile that each reported.

        None before it did, and while two agents claim its id: whose it is cannot be known then.
        """

    def count_pending(self) -> int:
        """How many devices wait to be accepted."""

    def count_devices(self) -> dict[DeviceGroup, int]:
        """How many devices there are of each kind; MUST count what is committed, and wait for nobody's transaction."""

    def count_models(self) -> dict[ModelGroup, int]:
        """How many devices of the fleet there are by what they run; MUST count as `count_devices` does.

        What a device runs is what it has committed, and what answers where it has committed nothing.
        """

    def forget(self, device: str, now_ms: int) -> bool:
        """Remove a device, its admission, its conflict and what it should run; whether there was any of it.

        Its executions MUST stay, so that counts of past rollouts still add up: those that have not ended end as
        removed, and none of them has to go back any more.
        """
