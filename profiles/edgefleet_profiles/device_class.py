"""The device class: what latency and numerics depend on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

InstructionSet = Literal["x86-vnni", "x86-avx2", "x86-sse", "arm-dotprod", "arm-neon"]

VNNI_FLAGS = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
DOTPROD_FLAGS = frozenset({"asimddp", "i8mm"})


@dataclass(frozen=True)
class DeviceClass:
    """Devices of one class share a variant's latency and its exact answers."""

    instruction_set: InstructionSet
    provider: str
    ram_mb: int

    def __str__(self) -> str:
        provider = self.provider.removesuffix("ExecutionProvider").lower()
        return f"{self.instruction_set}.{provider}.{self.ram_mb}mb"


def instruction_set(arch: str, isa: Iterable[str]) -> InstructionSet:
    """The instruction-set class of a processor, from its /proc/cpuinfo flags."""
    flags = frozenset(isa)
    if arch == "aarch64":
        return "arm-dotprod" if flags & DOTPROD_FLAGS else "arm-neon"
    if flags & VNNI_FLAGS:
        return "x86-vnni"
    return "x86-avx2" if "avx2" in flags else "x86-sse"


def device_class(arch: str, isa: Iterable[str], providers: Iterable[str], ram_mb: int) -> DeviceClass:
    """The class of a device; RAM (in MB) is rounded to a power of two, so that similar boards share a class."""
    provider = next(iter(providers), "CPUExecutionProvider")
    bucket = 1 << max(ram_mb, 1).bit_length() - 1
    # Boards report less than they are sold with: a 4 GB board reports 3,800 MB, a 512 MB board about 415.
    if ram_mb >= bucket * 1.6:
        bucket *= 2
    return DeviceClass(instruction_set(arch, isa), provider, bucket)
