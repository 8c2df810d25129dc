"""What inferences cost and emit where they run: their energy, at the region's price and carbon. Pure."""

from dataclasses import dataclass

from edgefleet_profiles.parts import Region

MJ_PER_KWH = 3.6e9
G_PER_TONNE = 1e6


@dataclass(frozen=True)
class Running:
    """What a number of inferences draws, emits and costs: electricity, and the carbon at its price."""

    kwh: float
    g_co2: float
    usd: float


def running(
    region: Region, inference_mj: float | None, inferences: float | None, usd_per_tonne_co2: float = 0.0
) -> Running | None:
    """Price `inferences` in a region; None if their number or their energy is unknown.

    Args:
        region: with its price and its carbon of a kWh.
        inference_mj: the energy of one inference, in millijoules.
        inferences: how many.
        usd_per_tonne_co2: what a tonne of CO2 costs.
    """
    if inference_mj is None or inferences is None:
        return None
    kwh = inference_mj * inferences / MJ_PER_KWH
    g_co2 = kwh * region.g_co2_per_kwh
    return Running(kwh, g_co2, kwh * region.usd_per_kwh + g_co2 / G_PER_TONNE * usd_per_tonne_co2)
