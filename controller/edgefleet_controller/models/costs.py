"""What the energy of variants costs and emits where they run, from the catalogue's and the build's figures."""

from collections.abc import Iterable, Mapping

from edgefleet_compression.pricing.prices import Candidate, modelled_mj, price
from edgefleet_compression.pricing.running import running
from edgefleet_contract.energy import CoreHourView, EnergyCostView
from edgefleet_controller.records import VariantRecord
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import UnknownName
from edgefleet_profiles.profile import DeviceProfile

HOUR_MS = 3_600_000
MILLION = 1_000_000


def core_hour(profile: DeviceProfile) -> CoreHourView:
    """What an hour of one busy core draws, costs and emits there."""
    drawn_mj = modelled_mj(profile.hardware, HOUR_MS)
    found = running(profile.region, drawn_mj, 1)
    assert found is not None  # both are given
    return CoreHourView(watts=drawn_mj / HOUR_MS, usd=found.usd, g_co2=found.g_co2)


def energy_costs(
    catalogue: Catalogue, variants: Mapping[str, VariantRecord], gets: Iterable[tuple[str, str | None]]
) -> tuple[EnergyCostView, ...]:
    """Price a million inferences of what each profile gets.

    Args:
        catalogue: what it no longer knows is left out.
        variants: the variants, by id.
        gets: profiles, each with the id of its variant.
    """
    return tuple(
        found
        for profile, variant in sorted({(profile, variant) for profile, variant in gets if variant in variants})
        if (found := _cost(catalogue, profile, variants[variant or ""])) is not None
    )


def _cost(catalogue: Catalogue, name: str, variant: VariantRecord) -> EnergyCostView | None:
    try:
        profile = catalogue.profile(name)
    except UnknownName:
        return None
    cost = price(Candidate(variant.id, variant.recipe, variant.metrics, delivery_bytes=0), profile)
    run = running(profile.region, cost.inference_mj, MILLION)
    return EnergyCostView(
        profile=name,
        variant=variant.id,
        inference_mj=cost.inference_mj,
        energy_source=cost.energy_source,
        usd_per_million=run.usd if run else None,
        g_co2_per_million=run.g_co2 if run else None,
    )
