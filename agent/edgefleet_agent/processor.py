"""Whether a processor is what a catalogue's entry says, and can run onnxruntime at all. Pure."""

from collections.abc import Set

from edgefleet_profiles.device_class import device_class, instruction_set
from edgefleet_profiles.parts import Hardware, is_generic
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
    cure = f"leave out --hardware, or let this machine stand in for it with --simulate-hardware {hardware.name}"
    if hardware.arch != host.arch:
        return f"'{hardware.name}' is {hardware.arch}, this machine is {host.arch}: {cure}"
    theirs, ours = _sets(hardware, host)
    if theirs != ours and RANK.index(theirs) > RANK.index(ours):
        return f"'{hardware.name}' is of class {theirs}, this machine only of {ours}: {cure}"
    return None


def differs(hardware: Hardware, host: HostFacts) -> str | None:
    """How this machine differs from `hardware`, if it can pass for it; None if it does not."""
    theirs, ours = _sets(hardware, host)
    if theirs != ours:
        return f"'{hardware.name}' is of class {theirs}, this machine of {ours}, and refuses what is made for {theirs}"
    have, told = (device_class(host.arch, host.isa, (), ram_mb).ram_mb for ram_mb in (host.ram_mb, hardware.ram_mb))
    if have < told and not is_generic(hardware.name):
        return f"'{hardware.name}' has {hardware.ram_mb} MB, this machine {host.ram_mb} MB"
    return None


RANK = ("x86-sse", "x86-avx2", "x86-vnni", "arm-neon", "arm-dotprod")
"""Of one architecture, each has what the one before it has."""


def _sets(hardware: Hardware, host: HostFacts) -> tuple[str, str]:
    return instruction_set(hardware.arch, hardware.isa), instruction_set(host.arch, host.isa)
