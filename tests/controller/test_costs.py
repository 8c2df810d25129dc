"""What the energy of variants costs and emits where they run."""

from collections.abc import Callable

import pytest

from edgefleet_contract.metrics import Metrics
from edgefleet_controller.models.costs import core_hour, energy_costs
from edgefleet_controller.records import VariantRecord
from edgefleet_profiles.catalogue import load_catalogue

CATALOGUE = load_catalogue()
PROFILE = CATALOGUE.profile("eu/rpi4/lte")
REGION, BOARD = PROFILE.region, PROFILE.hardware
CORE_W = (BOARD.active_w - BOARD.idle_w) / BOARD.cores


def test_an_hour_of_a_busy_core_is_priced_at_the_regions_electricity_and_carbon() -> None:
    hour = core_hour(PROFILE)
    assert hour.watts == pytest.approx(CORE_W)
    assert hour.usd == pytest.approx(CORE_W / 1000 * REGION.usd_per_kwh)
    assert hour.g_co2 == pytest.approx(CORE_W / 1000 * REGION.g_co2_per_kwh)


def test_a_million_inferences_follow_from_the_time_on_that_board(variant: Callable[..., VariantRecord]) -> None:
    known = variant(metrics=Metrics(p50_ms=3.6))
    (found,) = energy_costs(CATALOGUE, {known.id: known}, [("eu/rpi4/lte", known.id)] * 2)
    kwh = CORE_W * 3.6 * BOARD.latency_factor * 1e6 / 3.6e9
    assert found.energy_source == "modelled"
    assert found.usd_per_million == pytest.approx(kwh * REGION.usd_per_kwh)
    assert found.g_co2_per_million == pytest.approx(kwh * REGION.g_co2_per_kwh)


def test_what_was_not_measured_costs_nothing_that_is_known(variant: Callable[..., VariantRecord]) -> None:
    known = variant(metrics=Metrics())
    gets = [("eu/rpi4/lte", known.id), ("eu/rpi4/lte", None), ("eu/gone/lte", known.id)]
    (found,) = energy_costs(CATALOGUE, {known.id: known}, gets)
    assert (found.profile, found.inference_mj, found.usd_per_million) == ("eu/rpi4/lte", None, None)
