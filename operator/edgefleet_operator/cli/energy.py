"""Words for what energy costs and emits."""

from collections.abc import Sequence

from edgefleet_contract.energy import CoreHourView, EnergyCostView
from edgefleet_operator.figures import NONE, short
from edgefleet_operator.printing import print_table


def core_hour(hour: CoreHourView | None) -> str:
    """What a busy core costs and emits."""
    if hour is None:
        return NONE
    return f"a busy core draws {hour.watts:.3g} W beyond idle: {hour.usd:.3g} USD and {hour.g_co2:.3g} g CO2 an hour"


def print_energy(costs: Sequence[EnergyCostView], recipes: dict[str, str]) -> None:
    """Print what a million inferences cost and emit on each profile, if there are any."""
    rows = [
        (
            *(one.profile, recipes.get(one.variant, short(one.variant))),
            *(_figure(one.inference_mj, "mJ"), one.energy_source or NONE),
            *(_figure(one.usd_per_million, "USD"), _figure(one.g_co2_per_million, "g")),
        )
        for one in costs
    ]
    if rows:
        columns = ("profile", "recipe", ">an inference", "energy is", ">a million", ">CO2")
        print_table(columns, rows, title="What inferences cost and emit")


def _figure(value: float | None, unit: str) -> str:
    return NONE if value is None else f"{value:.3g} {unit}"
