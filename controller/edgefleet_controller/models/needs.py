"""Decides which variants a fleet needs, and which one each profile gets; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgefleet_compression.kinds import SourceKind
from edgefleet_compression.models.ways import ANY_WAY, Ways
from edgefleet_compression.pricing.choosing import Candidate, choose
from edgefleet_compression.recipes.applicable import recipes_for
from edgefleet_compression.recipes.recipe import Recipe, build_order
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_profiles.parts import Link
from edgefleet_profiles.profile import Constraints, DeviceProfile, constraints_for
from edgefleet_protocol.execution_providers import CPU

SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class NeededVariant:
    """A variant to build; `only_for` is None if every processor can run it.

    `providers` are those that it names: of hardware that prefers another execution provider than the CPU.
    """

    recipe: Recipe
    instruction_set: InstructionSet
    only_for: InstructionSet | None
    providers: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name in progress and results."""
        about = [*([self.only_for] if self.only_for else []), *(name.removesuffix(SUFFIX) for name in self.providers)]
        return f"{self.recipe.name} ({', '.join(about)})" if about else self.recipe.name


@dataclass(frozen=True)
class Needs:
    """The variants that profiles need, and why recipes are left out, by recipe and processor."""

    variants: list[NeededVariant]
    left_out: dict[str, str]


def needs_of(
    profiles: Iterable[DeviceProfile],
    recipes: Sequence[Recipe],
    source: SourceKind = "torch",
    train: bool | None = None,
    ways: Ways = ANY_WAY,
) -> Needs:
    """List the variants that serve these profiles: one per recipe, or one per scheme if numerics differ.

    Args:
        profiles: the profiles to serve.
        recipes: the recipes to build by.
        source: how the model was supplied.
        train: whether it has samples to train on; None if unknown.
        ways: what may be made of it, as far as that is known.
    """
    left_out: dict[str, str] = {}
    found: dict[tuple[str, InstructionSet | None, tuple[str, ...]], NeededVariant] = {}
    classes = {(p.device_class.instruction_set, _named(p)) for p in profiles}
    for instruction_set, providers in sorted(classes):
        applicable, reasons = recipes_for(instruction_set, recipes, source, train, ways)
        for name, reason in reasons.items():
            whole = any(recipe.name == name and recipe.refusal(source, train, ways) for recipe in recipes)
            left_out[name if whole else f"{name} ({instruction_set})"] = reason
        for recipe in applicable:
            only_for = instruction_set if "scheme" in recipe.needs else None
            need = NeededVariant(recipe, instruction_set, only_for, providers)
            found.setdefault((recipe.name, only_for, providers), need)
    places = {recipe.name: place for place, recipe in enumerate(build_order(recipes))}
    return Needs(sorted(found.values(), key=lambda need: (places[need.recipe.name], need.label)), left_out)


def _named(profile: DeviceProfile) -> tuple[str, ...]:
    """The providers that a variant for this profile names; none if that is the CPU, as it is without a word."""
    providers = profile.hardware.providers
    return providers if providers and providers[0] != CPU else ()


def choose_for(
    profile: DeviceProfile,
    table: list[Constraints],
    source_score: float | None,
    variants: Sequence[VariantRecord],
) -> ChoiceRecord:
    """Choose the variant for one profile, with a reason for or against each variant of the model."""
    instruction_set = profile.device_class.instruction_set
    others = {v.id: v.made_for_others(profile.hardware, instruction_set) for v in variants}
    candidates = [candidate(v, profile.link) for v in variants if others[v.id] is None]
    constraints = constraints_for(str(profile), table)
    # Devices with the same instruction set can differ in speed: until they report, latency is predicted.
    choice = choose(profile, constraints, source_score, candidates, measured_here=())
    return ChoiceRecord(
        model=variants[0].model,
        version=variants[0].version,
        profile=str(profile),
        variant=choice.chosen.variant if choice.chosen else None,
        reasons={**{variant: why for variant, why in others.items() if why}, **choice.reasons},
    )


def candidate(variant: VariantRecord, link: Link) -> Candidate:
    """Make a candidate of a variant; the bytes to download depend a little on the link's chunk size."""
    return Candidate(variant.id, variant.recipe, variant.metrics, variant.delivery_bytes[link.chunk_bytes])
