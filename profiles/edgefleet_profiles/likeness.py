"""Whether a machine is what a hardware's entry says: one rule for the device that checks itself and the controller."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from edgefleet_profiles.device_class import device_class
from edgefleet_profiles.parts import Hardware, is_generic

Aspect = Literal["architecture", "instruction set", "memory"]


class HardwareDifference(NamedTuple):
    """The first aspect in which a machine is not what an entry says: what the entry has, and what the machine has."""

    aspect: Aspect
    entry: str
    machine: str


def difference(hardware: Hardware, arch: str, isa: Iterable[str], ram_mb: int) -> HardwareDifference | None:
    """How a machine differs from an entry; None if it does not.

    Less memory counts only for boards, and from the next class on: the catalogue estimates that of generic machines,
    and boards report less than they are sold with.

    Args:
        hardware: the entry.
        arch: the machine's architecture.
        isa: its flags, as in /proc/cpuinfo.
        ram_mb: its memory, in MB.
    """
    told, have = (
        device_class(hardware.arch, hardware.isa, (), hardware.ram_mb),
        device_class(arch, isa, (), ram_mb),
    )
    if arch != hardware.arch:
        return HardwareDifference("architecture", hardware.arch, arch)
    if told.instruction_set != have.instruction_set:
        return HardwareDifference("instruction set", told.instruction_set, have.instruction_set)
    if have.ram_mb < told.ram_mb and not is_generic(hardware.name):
        return HardwareDifference("memory", f"{hardware.ram_mb} MB", f"{ram_mb} MB")
    return None
