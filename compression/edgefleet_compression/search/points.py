"""A recipe tried on a device class: its figures, or the reason for having none."""

from dataclasses import dataclass, field

from edgefleet_compression.builds.messages import BuildOutcome
from edgefleet_compression.pricing.words import quality
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.variants import StepReport
from edgefleet_profiles.device_class import InstructionSet


@dataclass(frozen=True)
class Point:
    """A recipe tried for a device class, `instruction_set`.

    `rejected` is one sentence: it could not be built, was stopped early, or is dominated; `metrics` may be known all
    the same. `built` is what the worker returned, for publishing; `seconds` is how long that took.
    """

    recipe: Recipe
    instruction_set: InstructionSet
    metrics: Metrics | None = None
    rejected: str | None = None
    built: BuildOutcome | None = field(default=None, repr=False, compare=False)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the point within a search."""
        return self.recipe.digest, self.instruction_set

    @property
    def steps(self) -> tuple[StepReport, ...]:
        """What each step did; empty if it was not built."""
        return self.built.steps if self.built else ()

    @property
    def quality(self) -> float | None:
        """The score on val, or without one, the agreement with the source."""
        return None if self.metrics is None else quality(self.metrics)

    @property
    def order(self) -> str:
        """The techniques in the order applied, as in `distill > qat > quantize`."""
        return order_of(self.recipe)


def order_of(recipe: Recipe) -> str:
    """The techniques of a recipe in order, each named once where it is repeated at once; `none` where there is none."""
    found: list[str] = []
    for spec in recipe.steps:
        technique = registry().named(spec.step).step.technique
        if technique and found[-1:] != [technique]:
            found.append(technique)
    return " > ".join(found) or "none"
