"""What a variant costs on a profile: seconds, money and joules of a delivery; time and energy of an inference.

Pure arithmetic on figures that were measured elsewhere and on those of the catalogue.
"""

from dataclasses import dataclass

from edgefleet_contract.choices import EnergySource
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.parts import Hardware
from edgefleet_profiles.profile import DeviceProfile

BYTES_PER_MB = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A measured variant; `delivery_bytes` is everything that a device downloads for it."""

    variant: str
    recipe: str
    metrics: Metrics
    delivery_bytes: int

    @property
    def megabytes(self) -> float:
        """What a device downloads, in MB."""
        return self.delivery_bytes / BYTES_PER_MB


@dataclass(frozen=True)
class Price:
    """What a candidate costs on one profile.

    One delivery: seconds, US dollars for its data, joules of the device's radio or port; `usd_per_month` and
    `mb_per_month` are those of all deliveries of a month. One inference: the 95th percentile in milliseconds and the
    energy in millijoules, None where nothing was measured that they could follow from.
    """

    transfer_s: float
    transfer_usd: float
    transfer_j: float
    usd_per_month: float
    mb_per_month: float
    p95_ms: float | None
    p95_is_predicted: bool
    inference_mj: float | None
    energy_source: EnergySource | None


def price(
    candidate: Candidate, profile: DeviceProfile, *, measured_here: bool = False, transfers_per_month: float = 1.0
) -> Price:
    """What `candidate` costs on `profile`.

    Args:
        candidate: the variant with its figures; its latency is in milliseconds on the machine that measured it.
        profile: gives the link's prices and the hardware's latency factor and watts, from the catalogue.
        measured_here: its latency was measured on this profile's device class; else it is predicted, by the factor.
        transfers_per_month: deliveries a month, of this size each.
    """
    link, metrics = profile.link, candidate.metrics
    usd = candidate.megabytes * link.usd_per_mb
    factor = 1.0 if measured_here else profile.hardware.latency_factor
    energy = metrics.mj_per_inference
    source: EnergySource = "measured" if measured_here else "measured elsewhere"
    if energy is None and metrics.p50_ms is not None:
        energy, source = modelled_mj(profile.hardware, metrics.p50_ms * factor), "modelled"
    return Price(
        transfer_s=link.transfer_s(candidate.delivery_bytes),
        transfer_usd=usd,
        transfer_j=candidate.megabytes * link.joule_per_mb,
        usd_per_month=usd * transfers_per_month,
        mb_per_month=candidate.megabytes * transfers_per_month,
        p95_ms=None if metrics.p95_ms is None else metrics.p95_ms * factor,
        p95_is_predicted=metrics.p95_ms is not None and not measured_here,
        inference_mj=energy,
        energy_source=None if energy is None else source,
    )


def modelled_mj(hardware: Hardware, inference_ms: float) -> float:
    """The energy of one inference on one thread, modelled from the catalogue's watts, in millijoules.

    What one of the cores draws above idle, for as long as the inference takes: (active - idle) / cores x time. What
    the board draws anyway is not counted.

    Args:
        hardware: its watts when idle and with every core busy.
        inference_ms: what a usual inference takes there.
    """
    return (hardware.active_w - hardware.idle_w) / hardware.cores * inference_ms
