"""Whether a device is what it was added as, and what the catalogue says of its hardware. Pure."""

from edgefleet_controller.records import DeviceRecord
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.device_class import DeviceClass, device_class
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.likeness import difference
from edgefleet_profiles.parts import is_generic

TAKE = "correct its agent's settings, or take it as it is with `edgefleet device accept`"


def added_otherwise(added_as: str | None, profile: str) -> str | None:
    """What is wrong with a device that reports another profile than it was added with; None if it does not."""
    if added_as in (None, profile):
        return None
    return f"it was added as {added_as} and reports {profile}"


def unlike(device: DeviceRecord, catalogue: Catalogue) -> tuple[str, ...]:
    """How a device differs from what it was added as, and from the hardware that it names; empty if it does not."""
    facts = device.facts
    said: list[str | None] = []
    if otherwise := added_otherwise(device.added_as, device.profile):
        said.append(f"{otherwise}: {TAKE}")
    hardware = catalogue.hardware.get(facts.hardware)
    if hardware is not None:
        match difference(hardware, facts.arch, facts.isa, facts.ram_mb):
            case ("architecture", entry, machine):
                said.append(f"{facts.hardware} is {entry}, and it reports {machine}: correct its --hardware")
            case ("instruction set", entry, machine):
                told = f"is of class {entry}, and it reports flags of {machine}"
                said.append(f"{facts.hardware} {told}: correct its --hardware")
            case ("memory", entry, machine):
                said.append(f"{facts.hardware} has {entry}, and it reports {machine}")
    if facts.lacks_providers:
        lacks, runs = ", ".join(facts.lacks_providers), ", ".join(facts.providers)
        said.append(
            f"its onnxruntime does not run {lacks}, as {facts.hardware} asks, but {runs}: install one that does"
        )
    return tuple(one for one in said if one)


def class_of(device: DeviceRecord, catalogue: Catalogue) -> DeviceClass | None:
    """The class of what runs there, by what the device reports; None if the catalogue has no such profile."""
    facts = device.facts
    try:
        hardware = catalogue.profile(device.profile).hardware
    except ProfileError:
        return None
    # Boards report less memory than they are sold with, but the catalogue only estimates that of a generic machine.
    ram_mb = facts.ram_mb if is_generic(facts.hardware) else hardware.ram_mb
    return device_class(facts.arch, facts.isa, facts.providers, ram_mb)
