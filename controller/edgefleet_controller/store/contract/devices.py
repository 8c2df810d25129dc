"""Devices as they last reported themselves, and which of them belong to the fleet."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from edgefleet_contract.devices import AdmissionRecord, DeviceStatus
from edgefleet_controller.records import DeviceRecord
from edgefleet_protocol.messages import MemoryBudget, ReportedState


class KnownSender(NamedTuple):
    """What is known of a device that reports; the defaults are for an unknown device."""

    incarnation: str | None = None
    boot: int = 0
    report: int = 0
    accepted: bool = False
    in_conflict: bool = False

    def knows(self, reported: ReportedState) -> bool:
        """Whether this snapshot, or a newer one of the same incarnation, is already stored."""
        kept = (self.boot, self.report)
        return self.incarnation == reported.incarnation and (reported.boot, reported.report) <= kept


class Sender(NamedTuple):
    """The parts of the profile that a device reported."""

    region: str
    hardware: str
    link: str


class DeviceGroup(NamedTuple):
    """What devices are counted by; `online` is "true" or "false"."""

    status: DeviceStatus
    online: str
    region: str
    hardware: str
    link: str


class ModelGroup(NamedTuple):
    """What models on devices are counted by; fields are empty if nothing answers, or without an attempt."""

    model: str
    version: str
    variant: str
    hardware: str
    phase: str


class RunningVariant(NamedTuple):
    """A variant that a device has committed, or that answers there if it has committed none."""

    manifest: str
    version: int


class OnDevice(NamedTuple):
    """What a device reported of all its models: by model, the manifests of the variants on its disk, and what runs.

    `features` names what its agent can do beyond 0.1.0; `memory` is None from agents that report no budget.
    """

    features: frozenset[str] = frozenset()
    slots: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    runs: Mapping[str, RunningVariant] = MappingProxyType({})
    memory: MemoryBudget | None = None


NOTHING_KNOWN = OnDevice()


class DeviceRecords(Protocol):
    """A device exists once it has reported; it belongs to the fleet once it is admitted, before or after that."""

    def put_report(self, device: str, reported: ReportedState, now_ms: int) -> bool:
        """Store a device's snapshot; False, and no change, if this or a newer one of its incarnation is stored.

        This marks the device online and heard now; when it was first seen MUST stay the same.
        """

    def put_reports(self, reports: Mapping[str, ReportedState], now_ms: int) -> None:
        """Store snapshots of several devices, even if newer ones are stored."""

    def put_presence(self, device: str, incarnation: str, online: bool, now_ms: int) -> None:
        """Mark a device online or offline, if this incarnation is the one that reported last.

        When it was last heard MUST never go back, and going offline does not count as being heard.
        """

    def put_unheard(self, since_ms: int) -> None:
        """Mark devices offline that have not been heard since then."""

    def standings(self, devices: Iterable[str]) -> dict[str, KnownSender]:
        """What is known of each of these devices; MUST have an entry for each."""

    def find(self, device: str) -> DeviceRecord | None:
        """A device; None if it never reported."""

    def get(self, device: str) -> DeviceRecord:
        """A device.

        Raises:
            NotFound: the device never reported.
        """

    def all(self, status: DeviceStatus | None = None) -> list[DeviceRecord]:
        """All devices that have reported, or those with one status; MUST be ordered by id."""

    def admit(self, admission: AdmissionRecord) -> None:
        """Admit a device to the fleet, whether or not it has reported."""

    def admission(self, device: str) -> AdmissionRecord | None:
        """The admission of a device; None for a pending or unknown one."""

    def expected(self) -> list[AdmissionRecord]:
        """Devices that were admitted but have not reported yet; MUST be ordered by id."""

    def senders(self, devices: Iterable[str]) -> dict[str, Sender | None]:
        """Those of these devices that belong to the fleet, each with the profile that it reported.

        The profile is None before the first report, and while two agents use the device's id.
        """

    def measured_kbps(self) -> dict[str, float]:
        """The devices that found their links slower than the catalogue says, each with the rate, in kbit/s."""

    def on_devices(self, devices: Iterable[str]) -> dict[str, OnDevice]:
        """What each of these devices reported of its models; those that never reported are left out."""

    def count_pending(self) -> int:
        """How many devices wait to be accepted."""

    def count_devices(self) -> dict[DeviceGroup, int]:
        """The number of devices in each group; MUST count only committed data, and never wait for a transaction."""

    def count_models(self) -> dict[ModelGroup, int]:
        """The number of devices of the fleet by what they run; MUST count as `count_devices` does.

        A device runs what it has committed or, if it has committed nothing, what answers.
        """

    def forget(self, device: str, now_ms: int) -> bool:
        """Remove a device, its admission, annotation, conflict and desired states; returns whether any existed.

        Its executions MUST stay as they are, so that past rollouts still say the same, except that all are marked with
        `removed_ms`, and that those that have not ended end as removed.
        """
