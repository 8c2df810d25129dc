"""Constraints that a build cannot judge, since only the real target's figures could reject a variant by them. Pure."""

from collections.abc import Iterable

from edgefleet_contract.models import UnjudgedView
from edgefleet_profiles.profile import Constraints

BY_TIME = (
    "latency is measured on the host that builds, and only predicted for other hardware",
    "see what devices measure with `edgefleet telemetry`, and let a rollout's gate judge it with max_p95_ratio",
)
BY_ENERGY = (
    "energy is modelled from the hardware's watts and a predicted latency",
    "measure a device at its supply; `prefer` may order variants by this figure",
)
ONLY_PREDICTED = {
    "p95_ms": BY_TIME,
    "mj_per_inference": BY_ENERGY,
    "running_usd_per_month": BY_ENERGY,
    "g_co2_per_month": BY_ENERGY,
}
"""What verdicts.py judges by figures of the profile's own class alone; a test holds the two together."""


def unjudged(table: Iterable[Constraints]) -> tuple[UnjudgedView, ...]:
    """The constraints of a card that reject no variant, each with the reason and what to do."""
    return tuple(
        UnjudgedView(constraint=name, profiles=entry.profile, limit=limit, why=why, do=do)
        for entry in table
        for name, (why, do) in ONLY_PREDICTED.items()
        if (limit := getattr(entry, name)) is not None
    )
