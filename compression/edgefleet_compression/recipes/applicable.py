"""Which recipes apply to an instruction set and to what a model comes as."""

from collections.abc import Iterable

from edgefleet_compression.kinds import SourceKind
from edgefleet_compression.models.ways import ANY_WAY, Ways
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.schemes import NO_SCHEME, scheme_for
from edgefleet_profiles.device_class import InstructionSet


def recipes_for(
    instruction_set: InstructionSet,
    recipes: Iterable[Recipe],
    source: SourceKind = "torch",
    train: bool | None = None,
    ways: Ways = ANY_WAY,
) -> tuple[list[Recipe], dict[str, str]]:
    """Which recipes apply to an instruction set and a source, and by recipe name the reason why another doesn't.

    Args:
        instruction_set: what the variants shall run on.
        recipes: the recipes in question.
        source: what the model comes as.
        train: whether it brings samples to train on, see `Recipe.refusal`.
        ways: what may be made of it, as far as that is known.
    """
    applicable: list[Recipe] = []
    reasons: dict[str, str] = {}
    for recipe in recipes:
        if (reason := recipe.refusal(source, train, ways)) is not None:
            reasons[recipe.name] = reason
        elif "scheme" in recipe.needs and scheme_for(instruction_set) is None:
            reasons[recipe.name] = NO_SCHEME[instruction_set]
        else:
            applicable.append(recipe)
    return applicable, reasons
