"""What energy costs and emits where devices are."""

from edgefleet_contract.base import Shape
from edgefleet_contract.choices import EnergySource


class CoreHourView(Shape):
    """What one core that computes for an hour draws beyond an idle one, and what that costs and emits in its region."""

    watts: float
    usd: float
    g_co2: float


class EnergyCostView(Shape):
    """What a million inferences of a variant cost and emit on a profile; null if their energy is unknown."""

    profile: str
    variant: str
    inference_mj: float | None
    energy_source: EnergySource | None
    usd_per_million: float | None
    g_co2_per_million: float | None
