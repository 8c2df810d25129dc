"""The default space: which recipes a search may try, from what is known of the model and nothing else.

A recipe is a trunk (what trains the network) followed by a tail (what makes a small file of it). Trunks cost
minutes and are shared by all their tails through the cache; tails without training cost seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgefleet_compression.recipe import Recipe, StepSpec
from edgefleet_compression.signatures import SIGNATURES

WIDTHS = (16, 24, 32, 48)
DEPTHS = (0, 2)
RATIOS = (0.3, 0.5, 0.7)
RATE, ALPHA = 0.02, 0.9
"""The highest rate of a one-cycle training, and the soft labels' share: good for every small network tried so far."""
EXPORT = StepSpec(step="export")


@dataclass(frozen=True)
class Trunk:
    """Steps that end in a network; those that train do so for `epochs`."""

    name: str
    title: str
    steps: tuple[StepSpec, ...]
    epochs: int = 0

    def trained_for(self, epochs: int) -> "Trunk":
        """The same steps with more epochs, or fewer."""
        steps = tuple(
            StepSpec(step=s.step, config={**s.config, "epochs": epochs}) if SIGNATURES[s.step].trains else s
            for s in self.steps
        )
        return Trunk(self.name, self.title, steps, epochs)


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
    if trunk is SOURCE:
        return Recipe(name=tail.name, title=f"{trunk.title}, {tail.title}", steps=tail.steps)
    title = f"{trunk.title}, {trunk.epochs} epochs, {tail.title}"
    return Recipe(name=f"{trunk.name}-e{trunk.epochs}-{tail.name}", title=title, steps=(*trunk.steps, *tail.steps))


def students(epochs: int, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> list[Trunk]:
    """Distilled depthwise-separable students, from thin and shallow to wide and deep."""
    return [
        Trunk(
            f"ds{width}x{depth}",
            f"a distilled student {width} wide and {depth} deep",
            (step("distill", args={"width": width, "depth": depth}, epochs=epochs, rate=RATE, alpha=ALPHA),),
            epochs,
        )
        for width in widths
        for depth in depths
    ]


def pruned(epochs: int, ratios: Sequence[float] = RATIOS) -> list[Trunk]:
    """The source with fewer channels, finetuned by its own soft labels."""
    return [
        Trunk(
            f"pruned{round(ratio * 100)}",
            f"{ratio:.0%} of the channels pruned and finetuned",
            (
                step("prune_structured", ratio=ratio, round_to=8),
                step("finetune", epochs=epochs, rate=RATE / 4, alpha=ALPHA),
            ),
            epochs,
        )
        for ratio in ratios
    ]


def without_training() -> list[Tail]:
    """What can be made of any network, or of a file that was brought, in seconds."""
    return [
        Tail("fp32", "as it is", (EXPORT,)),
        Tail("fp16", "weights stored in half floats", (EXPORT, step("fp16"))),
        *(stored(bits) for bits in (8, 6, 5)),
        Tail("int8", "static int8", (EXPORT, step("static_int8"))),
        Tail(
            "int8-percentile",
            "static int8, ranges without the rarest values",
            (EXPORT, step("static_int8", calibration="percentile")),
        ),
        Tail("int8-kept", "static int8, the worst layers in float", (EXPORT, step("accuracy_int8"))),
        Tail(
            "sparse-w8",
            "half of the weights zero, stored in 8 bits",
            (EXPORT, step("prune_unstructured", sparsity=0.5), step("storage_quant", **_bits(8))),
        ),
    ]


def stored(bits: int) -> Tail:
    """Weights stored in so many bits; the stem, which is small and sensitive, in seven at least."""
    return Tail(f"w{bits}", f"weights stored in {bits} bits", (EXPORT, step("storage_quant", **_bits(bits))))


def low_bits(epochs: int, tune: int) -> list[Tail]:
    """Weights of few bits, which a network must learn to live with, for `epochs`; its norms learn for `tune` more."""
    back = (step("tune_norms", snap=False, epochs=tune), EXPORT, step("storage_quant", lossless=True))
    return [
        *(
            Tail(
                f"q{bits}",
                f"trained to weights of {bits} bits on average",
                (step("qat_weights", mean_bits=bits, epochs=epochs), *back),
            )
            for bits in (4, 3)
        ),
        *(
            Tail(
                levels,
                f"trained to {levels} weights",
                (step("qat_weights", levels=levels, epochs=2 * epochs), *back),
            )
            for levels in ("ternary", "binary")
        ),
    ]


def _bits(bits: int) -> dict[str, int]:
    return {"stem": max(bits, 7), "dense": bits, "depthwise": max(bits, 6), "pointwise": bits, "linear": bits}
