"""Devices: their last reports, admission, and conflicts."""

from typing import Literal

from pydantic import Field

from edgefleet_contract.base import ProfileName, Shape
from edgefleet_profiles.names import Name
from edgefleet_protocol.messages import Attempt, Facts, HostFacts, Lost, Slot

DeviceStatus = Literal["pending", "accepted"]


class AdmissionRecord(Shape):
    """A device that belongs to the fleet; `profile` is what it was added as, or null."""

    device: Name
    profile: str | None = None
    accepted_ms: int


class HeardRecord(Shape):
    """An incarnation of a device, and when it was last heard."""

    incarnation: str
    last_seen_ms: int


class ConflictRecord(Shape):
    """Two or more incarnations that report alternately under one device id, the last one heard first."""

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
    """A device as it last reported itself; `added_as` is the profile that it was added with, or null.

    `conflict` names the incarnations that report alternately under this id, if several agents do. `unlike` says how it
    differs from what it was added as and from the hardware that it names. `lost_windows` counts
    windows that the device had dropped before the controller got them. Of `labels`, which selectors see, those of the
    profile count first, then `set_labels`, which operators set, then `reported_labels`, which it reports itself.
    `disk_trouble` says why its state folder cannot be written. `measured_kbps` is the rate of its link, if it was found
    slower than the catalogue says.
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
    unlike: tuple[str, ...] = ()
    boot: int
    agent_version: str
    features: list[str]
    endpoint: str | None
    measured_kbps: float | None = None
    labels: dict[str, str]
    set_labels: dict[str, str] = Field(default_factory=dict)
    reported_labels: dict[str, str] = Field(default_factory=dict)
    note: str | None = None
    facts: Facts
    host_facts: HostFacts | None
    models: dict[str, DeviceModelView]
    spooled_windows: int
    dropped_windows: int
    lost_windows: int
    set_aside: int
    disk_trouble: str | None


class NewDevice(Shape):
    """A device to add; an id is generated if left out."""

    id: Name | None = None
    profile: ProfileName


class AddedDevice(Shape):
    """A device that was added, and the command to run on it."""

    id: str
    profile: str
    command: str
