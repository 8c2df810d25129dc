"""The default space: which recipes a search may try, from what is known of the model and nothing else.

A recipe is a trunk (what trains the network) followed by a tail (what makes a small file of it). Trunks cost
minutes and are shared by all their tails through the cache; tails without training cost seconds.
"""

from dataclasses import dataclass
from typing import Any, Literal

from edgefleet_compression.recipes.recipe import Recipe, StepSpec
from edgefleet_compression.recipes.signatures import SIGNATURES

RATIO = 0.5
RATE, WEIGHT_DECAY, ALPHA = 0.02, 0.001, 0.9
"""The highest rate of a one-cycle training, and the soft labels' share: good for every small network tried so far."""
EXPORT = StepSpec(step="export")

Family = Literal["source", "student", "pruned"]


@dataclass(frozen=True)
class Trunk:
    """Steps that end in a network; those that train do so for `epochs`.

    Networks of one `family` start alike, so that what they are worth after a moment can be compared. `patience` is the
    share of a student's epochs that this one needs: a network that was cut knows most of it already.
    """

    name: str
    title: str
    steps: tuple[StepSpec, ...]
    family: Family
    epochs: int = 0
    patience: float = 1.0

    def trained_for(self, epochs: int, samples: int = 0) -> "Trunk":
        """The same steps with so many epochs, over the first `samples` of train; 0 means all."""
        steps = tuple(
            StepSpec(step=s.step, config={**s.config, "epochs": epochs, **({"samples": samples} if samples else {})})
            if SIGNATURES[s.step].trains
            else s
            for s in self.steps
        )
        name = f"{self.name}-scout" if samples else self.name
        return Trunk(name, self.title, steps, self.family, epochs, self.patience)


@dataclass(frozen=True)
class Tail:
    """Steps from a network, or from the source's file, to the file of a variant.

    `rank` orders them where time is short, 0 first; `trains` counts the steps that run an optimizer.
    """

    name: str
    title: str
    steps: tuple[StepSpec, ...]
    rank: int = 0

    @property
    def trains(self) -> int:
        """How many of its steps run an optimizer."""
        return sum(SIGNATURES[spec.step].trains for spec in self.steps)


SOURCE = Trunk("source", "the source model", (), "source")


def step(name: str, **config: Any) -> StepSpec:
    """One step with its settings."""
    return StepSpec(step=name, config=config)


def recipe(trunk: Trunk, tail: Tail) -> Recipe:
    """The recipe that a trunk and a tail are together."""
    if trunk is SOURCE:
        return Recipe(name=tail.name, title=f"{trunk.title}, {tail.title}", steps=tail.steps)
    title = f"{trunk.title}, {trunk.epochs} epochs, {tail.title}"
    return Recipe(name=f"{trunk.name}-e{trunk.epochs}-{tail.name}", title=title, steps=(*trunk.steps, *tail.steps))


def is_stored(recipe: Recipe) -> bool:
    """Whether a recipe ends in weights stored as integers."""
    return recipe.steps[-1].step == "storage_quant"


def packed(recipe: Recipe) -> Recipe:
    """The same file in the layout whose encoding is smallest."""
    steps = (*recipe.steps, step("pack"))
    return Recipe(name=f"{recipe.name}-pack", title=f"{recipe.title}, packed", steps=steps)


def students(*sizes: tuple[int, int]) -> list[Trunk]:
    """Distilled depthwise-separable students, each of a width and a depth."""
    train = {"rate": RATE, "weight_decay": WEIGHT_DECAY, "alpha": ALPHA}
    return [
        Trunk(
            f"ds{width}x{depth}",
            f"a distilled student {width} wide and {depth} deep",
            (step("distill", args={"width": width, "depth": depth}, **train),),
            "student",
        )
        for width, depth in sizes
    ]


def pruned(ratio: float = RATIO) -> Trunk:
    """The source with fewer channels, finetuned by its own soft labels."""
    return Trunk(
        f"pruned{round(ratio * 100)}",
        f"{ratio:.0%} of the channels pruned and finetuned",
        (
            step("prune_structured", ratio=ratio, round_to=8),
            step("finetune", rate=RATE / 4, alpha=ALPHA),
        ),
        "pruned",
        patience=0.25,
    )


PLAIN = Tail("fp32", "as it is", (EXPORT,))


def without_training() -> list[Tail]:
    """What can be made of any network, or of a file that was brought, in seconds."""
    return [
        PLAIN,
        *(stored(bits) for bits in (8, 6, 5)),
        Tail("int8", "static int8", (EXPORT, step("static_int8")), rank=1),
        Tail("int8-kept", "static int8, the worst layers in float", (EXPORT, step("accuracy_int8")), rank=1),
        Tail(
            "sparse-w8",
            "half of the weights zero, stored in 8 bits",
            (EXPORT, step("prune_unstructured", sparsity=0.5), step("storage_quant", **bits_of(8))),
            rank=2,
        ),
        Tail("fp16", "weights stored in half floats", (EXPORT, step("fp16")), rank=2),
        Tail(
            "int8-percentile",
            "static int8, ranges without the rarest values",
            (EXPORT, step("static_int8", calibration="percentile")),
            rank=2,
        ),
    ]


def stored(bits: int) -> Tail:
    """Weights stored in so many bits; the stem, which is small and sensitive, in seven at least."""
    return Tail(f"w{bits}", f"weights stored in {bits} bits", (EXPORT, step("storage_quant", **bits_of(bits))))


def low_bits(name: str, epochs: int, tune: int) -> Tail:
    """Weights of few bits, which a network must learn to live with, for `epochs`; its norms learn for `tune` more.

    Args:
        name: `q4` or `q3` for so many bits on average, or `ternary` or `binary`.
        epochs: of training with the weights on their grid.
        tune: of norms and biases alone, after that.
    """
    few = {"levels": name} if name in ("ternary", "binary") else {"mean_bits": int(name[1:])}
    what = f"{name} weights" if "levels" in few else f"weights of {name[1:]} bits on average"
    steps = (
        step("qat_weights", **few, epochs=epochs, alpha=ALPHA),
        step("tune_norms", snap=False, epochs=tune, alpha=ALPHA),
        EXPORT,
        step("storage_quant", lossless=True),
    )
    return Tail(f"{name}-e{epochs}", f"trained to {what}", steps)


@dataclass(frozen=True)
class Space:
    """What a search may try.

    `networks` are the most promising first; `low_bits` name what weights may be trained to, the surest first, with
    the epochs that each needs beside the others; `trials` bounds the cheap looks at ways to store one network.
    """

    networks: tuple[Trunk, ...]
    tails: tuple[Tail, ...]
    low_bits: tuple[tuple[str, float], ...] = (("q4", 1.0), ("q3", 2.0), ("ternary", 2.0), ("binary", 2.0))
    trials: int = 64


def default_space() -> Space:
    """The space of every search that names none."""
    return Space((*students((24, 2)), pruned(), *students((48, 2), (24, 1), (16, 2))), tuple(without_training()))


def bits_of(bits: int) -> dict[str, int]:
    """Bits by kind of layer; stem and depthwise layers are small and sensitive."""
    return {"stem": max(bits, 7), "dense": bits, "depthwise": max(bits, 6), "pointwise": bits, "linear": bits}
