"""Devices: as they last reported themselves, added, accepted, and in conflict."""

from typing import Literal

from edgefleet_contract.base import ProfileName, Shape
from edgefleet_profiles.names import Name
from edgefleet_protocol.messages import Attempt, Facts, HostFacts, Lost, Slot

DeviceStatus = Literal["pending", "accepted"]


class AdmissionRecord(Shape):
    """A device that belongs to the fleet; with the profile that it was added for, if it was."""

    device: Name
    profile: str | None = None
    accepted_ms: int


class HeardRecord(Shape):
    """An incarnation of a device, and when it was heard last."""

    incarnation: str
    last_seen_ms: int


class ConflictRecord(Shape):
    """Two or more incarnations that report under one device id in turn, the last one heard first."""

    since_ms: int
    incarnations: tuple[HeardRecord, ...]


class DeviceModelView(Shape):
    """One model on a device: what answers, and the last attempt."""

    generation: int
    desired_generation: int | None
    answering: Slot | None
    slots: list[Slot]
    attempt: Attempt | None
    lost: Lost | None


class DeviceView(Shape):
    """A device as it last reported itself; `added_as` is the profile that it was added for, if it was.

    `conflict` names the incarnations that report under this id in turn, if two agents do. `lost_windows` are those that
    the device no longer had when the controller missed them. `disk_trouble` is why its state folder cannot be written.
    """

    id: str
    status: DeviceStatus
    added_as: str | None
    profile: str
    region: str
    hardware: str
    link: str
    device_class: str | None
    simulated: bool
    online: bool
    first_seen_ms: int
    last_seen_ms: int
    incarnation: str
    conflict: ConflictRecord | None
    boot: int
    agent_version: str
    features: list[str]
    endpoint: str | None
    labels: dict[str, str]
    facts: Facts
    host_facts: HostFacts | None
    models: dict[str, DeviceModelView]
    spooled_windows: int
    dropped_windows: int
    lost_windows: int
    set_aside: int
    disk_trouble: str | None


class NewDevice(Shape):
    """A device to add; without an id one is made."""

    id: Name | None = None
    profile: ProfileName


class AddedDevice(Shape):
    """A device that was added, and the one line to run on it."""

    id: str
    profile: str
    command: str
