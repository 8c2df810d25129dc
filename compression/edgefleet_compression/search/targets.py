"""Device classes to search variants for, from the profiles of a fleet or the catalogue."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgefleet_compression.pricing.prices import modelled_mj
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.searches import FigureSource
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_profiles.parts import Hardware
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_protocol.execution_providers import CPU


@dataclass(frozen=True)
class SearchTarget:
    """A device class and the hardware that stands for it; None if only the class is known."""

    instruction_set: InstructionSet
    hardware: Hardware | None = None

    def latency_ms(self, metrics: Metrics) -> tuple[float | None, FigureSource]:
        """The median latency there: measured if this host is of the class, else predicted by the catalogue's factor."""
        provider = self.hardware.providers[0] if self.hardware and self.hardware.providers else CPU
        is_here = metrics.instruction_set == self.instruction_set and (metrics.provider or CPU) == provider
        if metrics.p50_ms is None or is_here:
            return metrics.p50_ms, "measured"
        if self.hardware is None:
            return None, "predicted"
        return metrics.p50_ms * self.hardware.latency_factor, "predicted"

    def energy_mj(self, metrics: Metrics) -> tuple[float | None, FigureSource]:
        """The energy of an inference there: measured, or modelled from the catalogue's watts."""
        if metrics.mj_per_inference is not None:
            return metrics.mj_per_inference, "measured"
        latency_ms, _ = self.latency_ms(metrics)
        if latency_ms is None or self.hardware is None:
            return None, "modelled"
        return modelled_mj(self.hardware, latency_ms), "modelled"


def targets_of(profiles: Iterable[DeviceProfile]) -> tuple[SearchTarget, ...]:
    """One target an instruction set, with its slowest hardware: what holds there holds for the others."""
    found: dict[InstructionSet, Hardware] = {}
    for profile in profiles:
        instruction_set, hardware = profile.device_class.instruction_set, profile.hardware
        known = found.get(instruction_set)
        if known is None or (hardware.latency_factor, hardware.name) > (known.latency_factor, known.name):
            found[instruction_set] = hardware
    return tuple(SearchTarget(instruction_set, hardware) for instruction_set, hardware in sorted(found.items()))
