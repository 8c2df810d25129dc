"""Prices a variant on a profile: time, money and energy of a delivery, time and energy of an inference.

Pure arithmetic on measured figures and the catalogue's. What a month of inferences costs and emits is in running.py.
"""

from dataclasses import dataclass

from edgefleet_compression.pricing.running import Running, running
from edgefleet_contract.choices import EnergySource
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.parts import Hardware
from edgefleet_profiles.profile import Constraints, DeviceProfile

BYTES_PER_MB = 1_000_000
NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True)
class Candidate:
    """A measured variant; `delivery_bytes` is everything a device downloads for it."""

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

    `transfer_*` is one delivery: seconds, US dollars for its data, joules of the device's radio or port.
    `usd_per_month` and `mb_per_month` cover all deliveries of a month, `running` its inferences; None if their number
    is not given. `p95_ms` and `inference_mj` are of one inference, None if nothing they could follow from was measured.
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
    running: Running | None = None
    runs: bool = False
    """Whether the number of inferences is given, so that `running` would be known if the energy were."""

    @property
    def total_usd_per_month(self) -> float | None:
        """Data and, if the number of inferences is given, what they cost; None if their energy is unknown."""
        if not self.runs:
            return self.usd_per_month
        return None if self.running is None else self.usd_per_month + self.running.usd


def price(
    candidate: Candidate,
    profile: DeviceProfile,
    *,
    measured_here: bool = False,
    constraints: Constraints = NO_CONSTRAINTS,
) -> Price:
    """Price `candidate` on `profile`.

    Args:
        candidate: its latency is in milliseconds on the host that measured it.
        profile: with the catalogue's link prices, latency factor and watts.
        measured_here: whether its latency was measured on this device class; if not, the factor predicts it.
        constraints: with the deliveries and inferences of a month, and the price of carbon.
    """
    link, metrics = profile.link, candidate.metrics
    usd = candidate.megabytes * link.usd_per_mb
    factor = 1.0 if measured_here else profile.hardware.latency_factor
    energy = metrics.mj_per_inference
    source: EnergySource = "measured" if measured_here else "measured elsewhere"
    if energy is None and metrics.p50_ms is not None:
        energy, source = modelled_mj(profile.hardware, metrics.p50_ms * factor), "modelled"
    often, inferences = constraints.transfers_per_month, constraints.inferences_per_month
    return Price(
        transfer_s=link.transfer_s(candidate.delivery_bytes),
        transfer_usd=usd,
        transfer_j=candidate.megabytes * link.joule_per_mb,
        usd_per_month=usd * often,
        mb_per_month=candidate.megabytes * often,
        p95_ms=None if metrics.p95_ms is None else metrics.p95_ms * factor,
        p95_is_predicted=metrics.p95_ms is not None and not measured_here,
        inference_mj=energy,
        energy_source=None if energy is None else source,
        running=running(profile.region, energy, inferences, constraints.usd_per_tonne_co2),
        runs=inferences is not None,
    )


def modelled_mj(hardware: Hardware, inference_ms: float) -> float:
    """The energy of one inference on one thread, modelled from the catalogue's watts, in millijoules.

    (active - idle) / cores x time: what one core draws above idle while the inference runs. What the board draws
    anyway doesn't count.

    Args:
        hardware: its watts when idle, and with every core busy.
        inference_ms: the duration of a typical inference there.
    """
    return (hardware.active_w - hardware.idle_w) / hardware.cores * inference_ms
