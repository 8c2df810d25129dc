"""Messages from the controller to devices, and when a device must be told its desired state again."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from edgefleet_controller.clock import now_ms
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.rollouts.forms import missing
from edgefleet_controller.rollouts.hours import NEXT
from edgefleet_controller.store import Store
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows
from edgefleet_protocol import topics
from edgefleet_protocol.features import CONTROLLER_FEATURES
from edgefleet_protocol.messages import Acked, DesiredModel, DesiredState, Hello, ReportedState, encode
from edgefleet_protocol.phases import OUTSIDE_WINDOW

TOLD_AT_ONCE = 100
"""How many devices' desired states to read at once: others may use the store in between."""


class Publishes(Protocol):
    """The one method of the bus that this needs."""

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send bytes to a topic."""


class DesiredPublisher:
    """Sends messages to devices over the bus."""

    def __init__(self, store: Store, bus: Publishes, windows: RegionWindows = NO_WINDOWS) -> None:
        self._store = store
        self._bus = bus
        self._windows = windows
        self._speaking = threading.Lock()

    def desire(self, devices: Iterable[str]) -> None:
        """Publish the current desired states of these devices; never call this inside a transaction."""
        left = list(devices)
        while left:
            some, left = left[:TOLD_AT_ONCE], left[TOLD_AT_ONCE:]
            # One thread at a time: no thread may publish a state it read before another changed and published it.
            with self._speaking:
                records = self._only_what_agents_can_do(self._store.fleet.desired.of_each(some))
                profiles = self._profiles(some)
                for device in some:
                    state = desired_state(records.get(device, ()), self._windows, profiles.get(device, ""), now_ms())
                    self._bus.publish(topics.desired(device), encode(state), qos=1, retain=True)
                    reach("desired_published")

    def _only_what_agents_can_do(
        self, records: Mapping[str, Sequence[DesiredRecord]]
    ) -> dict[str, list[DesiredRecord]]:
        """Leave out manifests that need features a device's agent lacks; the device keeps what it runs."""
        forms = self._store.fleet.registry.forms({r.manifest for of_device in records.values() for r in of_device})
        features = {member.id: member.features for member in self._store.fleet.members.some(records)} if forms else {}
        return {
            device: [r for r in of_device if not missing(forms, r.manifest, features.get(device, ()))]
            for device, of_device in records.items()
        }

    def _profiles(self, devices: Iterable[str]) -> dict[str, str]:
        """The profiles of these devices, if any region has a window."""
        return (
            {member.id: member.profile for member in self._store.fleet.members.some(devices)} if self._windows else {}
        )

    def forget(self, device: str) -> None:
        """Clear the retained message of a device that was removed."""
        self._bus.publish(topics.desired(device), b"", qos=1, retain=True)

    def acknowledge(self, stored: dict[tuple[str, str], int]) -> None:
        """Tell devices up to which window their telemetry is stored."""
        for (device, incarnation), through in stored.items():
            self._bus.publish(topics.acked(device), encode(Acked(incarnation=incarnation, through=through)))

    def correct(self, device: str) -> None:
        """Tell a device that reported an outdated snapshot how far its incarnation has got."""
        known = self._store.fleet.devices.find(device)
        if known is None:
            return
        said = known.reported
        through = self._store.telemetry.windows.through(device, said.incarnation)
        acked = Acked(incarnation=said.incarnation, through=through, boot=said.boot, report=said.report)
        self._bus.publish(topics.acked(device), encode(acked))

    def hello(self, jitter_s: float) -> None:
        """Ask all devices to report: nothing sent before our subscription was received."""
        self._bus.publish(topics.HELLO, encode(Hello(jitter_s=jitter_s, features=CONTROLLER_FEATURES)))


def desired_state(
    records: Sequence[DesiredRecord], windows: RegionWindows = NO_WINDOWS, profile: str = "", now_ms: int = 0
) -> DesiredState:
    """The message with these records, and with the windows of the device's region."""
    return DesiredState(
        features=CONTROLLER_FEATURES,
        fetch=windows.opening("fetch", profile, now_ms),
        switch=windows.opening("switch", profile, now_ms),
        models={
            record.model: DesiredModel(
                generation=record.generation,
                manifest=record.manifest,
                manifest_bytes=record.manifest_bytes,
                rollout=record.rollout,
                activate=record.activate,
                trial_s=record.trial_s,
                keep=record.keep,
                at_once=record.at_once,
            )
            for record in records
        },
    )


def must_be_told(
    desired: Sequence[DesiredRecord], reported: ReportedState, windows: RegionWindows = NO_WINDOWS, now_ms: int = 0
) -> bool:
    """Whether a snapshot shows that the device has not read its desired state, or waits for an open window."""
    for record in desired:
        model = reported.models.get(record.model)
        if model is None or model.generation < record.generation:
            return True
        if model.attempt is not None and model.attempt.reason == OUTSIDE_WINDOW:
            act = NEXT.get(model.attempt.phase)
            if act and (windows.may(act, reported.facts.region, now_ms) or record.at_once):
                return True
            continue
        waiting = model.attempt is not None and model.attempt.phase == "staged"
        if record.activate and waiting and model.generation == record.generation:
            return True
    return False
