"""What inferences cost and emit where they run, and how an operator lets that decide."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.compression.test_pricing import candidate, profile_on

from edgefleet_compression.pricing.choosing import choose
from edgefleet_compression.pricing.running import running
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.profile import Constraints, DeviceProfile

REGIONS = load_catalogue().region
BIG = candidate("big", accuracy=0.92, size=1000, mj_per_inference=20.0)
SMALL = candidate("small", accuracy=0.90, size=9000, mj_per_inference=2.0)
MONTH = {"inferences_per_month": 1e9}


def chosen(region: str, measured_here: bool = True, **asked: Any) -> str | None:
    profile = DeviceProfile.model_validate({**dict(profile_on()), "region": REGIONS[region]})
    measured = [BIG.variant, SMALL.variant] if measured_here else []
    found = choose(profile, Constraints(**asked), 0.92, [BIG, SMALL], measured_here=measured)
    return found.chosen.recipe if found.chosen else None


def test_energy_is_priced_at_the_regions_electricity_and_carbon() -> None:
    eu = REGIONS["eu"]
    found = running(eu, 3.6, 1e9, usd_per_tonne_co2=100.0)  # 1 kWh
    assert found and found.kwh == pytest.approx(1.0)
    assert found.g_co2 == pytest.approx(eu.g_co2_per_kwh)
    assert found.usd == pytest.approx(eu.usd_per_kwh + eu.g_co2_per_kwh / 1e4)
    assert running(eu, None, 1e9) is running(eu, 3.6, None) is None


def test_a_budget_of_carbon_takes_another_variant_where_electricity_is_dirty() -> None:
    clean, dirty = sorted(REGIONS, key=lambda name: REGIONS[name].g_co2_per_kwh)[:: len(REGIONS) - 1]
    between = 20.0 / 3.6 * (REGIONS[clean].g_co2_per_kwh + REGIONS[dirty].g_co2_per_kwh) / 2
    assert chosen(clean, g_co2_per_month=between, **MONTH) == "big"
    assert chosen(dirty, g_co2_per_month=between, **MONTH) == "small"


def test_a_price_of_carbon_weighs_energy_against_data() -> None:
    asked = {"prefer": "usd_per_month", "transfers_per_month": 1500.0, **MONTH}
    assert chosen("eu", **asked) == "big"
    assert chosen("eu", **asked, usd_per_tonne_co2=5000.0) == "small"


def test_carbon_of_modelled_or_foreign_energy_is_said_and_rejects_nobody() -> None:
    asked = {"g_co2_per_month": 1.0, "running_usd_per_month": 0.001, **MONTH}
    assert chosen("eu", **asked) is None
    assert chosen("eu", measured_here=False, **asked) == "big"
    reasons = choose(profile_on(), Constraints(**asked), 0.92, [BIG]).reasons[BIG.variant]
    assert "carbon of a month of 1333.3 g CO2, at most 1 g CO2 asked: from elsewhere, not used to reject" in reasons


def test_without_a_number_of_inferences_nothing_changes() -> None:
    assert chosen("eu") == "big"
    assert chosen("eu", prefer="usd_per_month") == "big"
    assert "g CO2" not in choose(profile_on(), Constraints(), 0.92, [BIG]).reasons[BIG.variant]


@pytest.mark.parametrize("asked", [{"usd_per_tonne_co2": 1}, {"running_usd_per_month": 1}, {"g_co2_per_month": 1}])
def test_a_limit_that_needs_the_number_of_inferences_is_refused_without(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="cannot be judged without inferences_per_month: say how many"):
        Constraints(**asked)
