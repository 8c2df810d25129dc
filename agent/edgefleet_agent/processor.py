"""Whether a processor is what a catalogue's entry says, and can run onnxruntime at all. Pure."""

from collections.abc import Set

from edgefleet_profiles.likeness import HardwareDifference, difference
from edgefleet_profiles.parts import Hardware
from edgefleet_protocol.messages import HostFacts

BASE = "sse4_2"
"""What the x86-64 build of onnxruntime computes with; on a processor without it a session is killed by SIGILL."""


def cannot_run(arch: str, flags: Set[str]) -> str | None:
    """Why onnxruntime cannot run here; None if it can, or if the machine does not tell its flags."""
    if arch == "x86_64" and flags and BASE not in flags:
        return "this processor has no SSE4.2, which onnxruntime needs: run the agent on another machine"
    return None


def is_false(hardware: Hardware, host: HostFacts) -> str | None:
    """Why this machine cannot pass for `hardware`: another architecture, or instructions that it lacks."""
    found = _difference(hardware, host)
    cure = f"leave out --hardware, or let this machine stand in for it with --simulate-hardware {hardware.name}"
    if found and found.aspect == "architecture":
        return f"'{hardware.name}' is {found.entry}, this machine is {found.machine}: {cure}"
    if found and found.aspect == "instruction set" and RANK.index(found.entry) > RANK.index(found.machine):
        return f"'{hardware.name}' is of class {found.entry}, this machine only of {found.machine}: {cure}"
    return None


def differs(hardware: Hardware, host: HostFacts) -> str | None:
    """How this machine differs from `hardware`, if it can pass for it; None if it does not."""
    found = _difference(hardware, host)
    if found is None:
        return None
    if found.aspect == "memory":
        return f"'{hardware.name}' has {found.entry}, this machine {found.machine}"
    refuses = f"refuses what is made for {found.entry}"
    return f"'{hardware.name}' is of class {found.entry}, this machine of {found.machine}, and {refuses}"


RANK = ("x86-sse", "x86-avx2", "x86-vnni", "arm-neon", "arm-dotprod")
"""Of one architecture, each has what the one before it has."""


def _difference(hardware: Hardware, host: HostFacts) -> HardwareDifference | None:
    return difference(hardware, host.arch, host.isa, host.ram_mb)
