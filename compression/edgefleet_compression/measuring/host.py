"""Names the processor of this machine, for `measured_on`."""

import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

from edgefleet_profiles.device_class import InstructionSet, instruction_set

CPUINFO = Path("/proc/cpuinfo")


def read_cpuinfo(text: str) -> dict[str, str]:
    """The fields of the first processor, by lower-case name."""
    fields: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields


class Host(NamedTuple):
    """A processor's name and its class."""

    processor: str
    instruction_set: InstructionSet


@cache
def host() -> Host:
    """The processor of this machine."""
    fields = read_cpuinfo(CPUINFO.read_text()) if CPUINFO.exists() else {}
    flags = (fields.get("flags") or fields.get("features") or "").split()
    arch = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    name = fields.get("model name") or platform.processor() or arch
    return Host(name, instruction_set(arch, flags))
