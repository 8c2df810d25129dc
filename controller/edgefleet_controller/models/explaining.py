"""Explains a profile's choice from what is stored; nothing is built or measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgefleet_compression.pricing.explain import Explanation, Situation, explain
from edgefleet_compression.pricing.prices import Candidate
from edgefleet_controller.errors import Refused
from edgefleet_controller.models.needs import candidate
from edgefleet_controller.records import ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.parts import Link
from edgefleet_profiles.profile import DeviceProfile, constraints_for


@dataclass(frozen=True)
class Explained:
    """An explanation, and the reasons against variants made for other processors."""

    explanation: Explanation
    made_for_others: dict[str, str]


def explain_choice(fleet: FleetStore, model: ModelRecord, profile: DeviceProfile) -> Explained:
    """Explain which variant of `model` `profile` gets, whether or not the model was compressed for it.

    Raises:
        Refused: the model has no variants yet.
    """
    variants = fleet.registry.variants(model.name, model.version)
    if not variants:
        raise Refused(f"{model.ref} has no variants yet: `edgefleet compress {model.ref}` builds them")
    instruction_set = profile.device_class.instruction_set
    made_for = {v.id: v.made_for_others(profile.hardware, instruction_set) for v in variants}
    running = [v for v in variants if made_for[v.id] is None]

    def offered(link: Link) -> list[Candidate]:
        return [candidate(v, link) for v in running]

    table = model.card.constraints
    situation = Situation(profile, constraints_for(str(profile), table), source_score(variants), offered)
    others = {variant: why for variant, why in made_for.items() if why}
    return Explained(explain(situation), others)


def source_score(variants: Sequence[VariantRecord]) -> float | None:
    """The source model's score on val: that of a variant plus its drop."""
    for v in variants:
        if v.metrics.score_val is not None and v.metrics.drop_val is not None:
            return v.metrics.score_val + v.metrics.drop_val
    return None
