"""One measured recipe on one device class, or the reason why there is no figure."""

from dataclasses import dataclass, field

from edgefleet_compression.builds.messages import BuildOutcome
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.variants import StepReport
from edgefleet_profiles.device_class import InstructionSet


@dataclass(frozen=True)
class Point:
    """A recipe that was tried for a device class.

    `instruction_set` is the class it was built for. `rejected` says why it is out, in one sentence: it could not be
    built, it was stopped early, or it was dominated; `metrics` may be there all the same. `built` is what the worker
    returned, for whoever publishes the file; `seconds` is how long that took.
    """

    recipe: Recipe
    instruction_set: InstructionSet
    metrics: Metrics | None = None
    rejected: str | None = None
    built: BuildOutcome | None = field(default=None, repr=False, compare=False)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """What tells this point from every other of a search."""
        return self.recipe.digest, self.instruction_set

    @property
    def steps(self) -> tuple[StepReport, ...]:
        """What each step did; nothing where it was not built."""
        return self.built.steps if self.built else ()

    @property
    def quality(self) -> float | None:
        """The share of val that is right, or answered as the source does where there are no labels."""
        if self.metrics is None:
            return None
        known = self.metrics.accuracy_val
        return self.metrics.agreement_val if known is None else known

    @property
    def order(self) -> str:
        """The techniques in the order they were applied, as in `distill > qat > quantize`."""
        return order_of(self.recipe)


def order_of(recipe: Recipe) -> str:
    """The techniques of a recipe in order, each named once where it is repeated at once; `none` where there is none."""
    found: list[str] = []
    for spec in recipe.steps:
        technique = registry().named(spec.step).step.technique
        if technique and found[-1:] != [technique]:
            found.append(technique)
    return " > ".join(found) or "none"
