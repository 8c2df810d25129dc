"""Looks up what every device of a plan holds: its budget of memory, and the variants of all its models."""

from collections.abc import Iterable, Mapping, Sequence

from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.rollouts.memory_room import DeviceRoom, memory_mb
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.devices import OnDevice, RunningVariant
from edgefleet_protocol.memory_budget import HeldModel


def rooms(fleet: FleetStore, model: str, devices: Sequence[str]) -> dict[str, DeviceRoom]:
    """The room on each of these devices for a variant of a model; those that never reported are left out."""
    known = fleet.devices.on_devices(devices)
    told = fleet.desired.of_each(devices)
    names = {name for one in known.values() for name in one.runs}
    names |= {record.model for records in told.values() for record in records}
    counted = {
        form.manifest: HeldModel(variant.model, variant.version, memory_mb(variant.metrics))
        for name in sorted(names)
        for variant in fleet.registry.variants(name)
        for form in variant.forms
    }
    return {device: _room(model, one, told.get(device, ()), counted) for device, one in known.items()}


def _room(model: str, known: OnDevice, told: Iterable[DesiredRecord], counted: Mapping[str, HeldModel]) -> DeviceRoom:
    wanted = {record.model: record.manifest for record in told if record.manifest}
    others = []
    for name in sorted({*known.runs, *wanted} - {model}):
        found = [_held(name, known.runs[name], counted)] if name in known.runs else []
        if (manifest := wanted.get(name)) in counted:
            found.append(counted[manifest or ""])
        # Of a model that is on its way, the larger of its two variants counts, as on the device.
        others += sorted(found, key=lambda one: one.mb or 0)[-1:]
    own = known.runs.get(model)
    return DeviceRoom(known.memory, tuple(others), _held(model, own, counted) if own else None)


def _held(name: str, running: RunningVariant, counted: Mapping[str, HeldModel]) -> HeldModel:
    return counted.get(running.manifest) or HeldModel(name, running.version, None)
