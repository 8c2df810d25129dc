"""The default space: which recipes a search may try, from what is known of the model and nothing else.

A recipe is a trunk (what trains the network) followed by a tail (what makes a small file of it). Trunks cost
minutes and are shared by all their tails through the cache; tails without training cost seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgefleet_compression.recipe import Recipe, StepSpec

WIDTHS = (16, 24, 32, 48)
DEPTHS = (0, 2)
RATIOS = (0.3, 0.5, 0.7)
EXPORT = StepSpec(step="export")


@dataclass(frozen=True)
class Trunk:
    """Steps that end in a network; `full_epochs` is how long its costly step trains in this recipe."""

    name: str
    title: str
    steps: tuple[StepSpec, ...]


@dataclass(frozen=True)
class Tail:
    """Steps from a network, or from the source's file, to the file of a variant."""

    name: str
    title: str
    steps: tuple[StepSpec, ...]


SOURCE = Trunk("source", "the source model", ())


def step(name: str, **config: Any) -> StepSpec:
    """One step with its settings."""
    return StepSpec(step=name, config=config)


def recipe(trunk: Trunk, tail: Tail) -> Recipe:
    """The recipe that a trunk and a tail are together."""
    name = tail.name if trunk is SOURCE else f"{trunk.name}-{tail.name}"
    return Recipe(name=name, title=f"{trunk.title}, {tail.title}", steps=(*trunk.steps, *tail.steps))


def students(epochs: int, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> list[Trunk]:
    """Distilled depthwise-separable students, from thin and shallow to wide and deep."""
    return [
        Trunk(
            f"ds{width}x{depth}-e{epochs}",
            f"a student {width} wide and {depth} deep, distilled for {epochs} epochs",
            (step("distill", args={"width": width, "depth": depth}, epochs=epochs, rate=0.01, alpha=0.9),),
        )
        for width in widths
        for depth in depths
    ]


def pruned(epochs: int, ratios: Sequence[float] = RATIOS) -> list[Trunk]:
    """The source with fewer channels, finetuned by its own soft labels."""
    return [
        Trunk(
            f"pruned{round(ratio * 100)}-e{epochs}",
            f"{ratio:.0%} of the channels pruned, finetuned for {epochs} epochs",
            (
                step("prune_structured", ratio=ratio, round_to=8),
                step("finetune", epochs=epochs, rate=0.004, alpha=0.9),
            ),
        )
        for ratio in ratios
    ]
