"""What the list says of a public model: where its file is, what its card must say, and how samples are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.models.packages import Pinned, Shelf

SampleKind = Literal["real", "made", "synthetic"]
"""Real: recorded, photographed or written by somebody. Made: drawn or composed by a script, so that labels are known.
Synthetic: numbers of the right shape."""
MadeSplit = Literal["calib", "val", "test"]
SplitCounts = Mapping[MadeSplit, int]
COUNTS: SplitCounts = {"calib": 64, "val": 120, "test": 120}
FEW: SplitCounts = {"calib": 24, "val": 48, "test": 48}
FEWEST: SplitCounts = {"calib": 12, "val": 24, "test": 24}
"""Of models whose samples are large, or that take long for one."""
MadeSample = NDArray[Any]


@dataclass
class MadeSamples:
    """Samples by input, each as the model takes it without its batch, and their labels if they are exact."""

    inputs: dict[str, list[MadeSample]] = field(default_factory=dict)
    labels: list[Any] | None = None

    def add(self, label: Any = None, /, **inputs: MadeSample) -> None:
        """One more sample, by inputs whose names are words."""
        self.add_named(inputs, label)

    def add_named(self, inputs: Mapping[str, MadeSample], label: Any = None) -> None:
        """One more sample, by the names of inputs."""
        for name, value in inputs.items():
            self.inputs.setdefault(name, []).append(value)
        if label is not None:
            self.labels = [*(self.labels or []), label]


class SampleMaker(Protocol):
    """Makes the samples of a split: the same ones for the same seed."""

    def __call__(self, shelf: Shelf, split: MadeSplit, count: int, random: np.random.Generator) -> MadeSamples:
        """So many samples.

        Args:
            shelf: where packages with pictures, sounds and texts are.
            split: which of these to take, where there are enough to part them.
            count: how many samples.
            random: of this split.
        """


@dataclass(frozen=True)
class PublicModel:
    """One ONNX file of a package.

    Attributes:
        name: what the model is called in the registry.
        package: where it comes from.
        member: its file there.
        task: what it does.
        samples: what kind of samples it gets.
        of: what these are, in a few words.
        make: makes them.
        card: what the file and the samples do not tell, as TOML; empty where they tell all.
        counts: how many samples.
    """

    name: str
    package: Pinned
    member: str
    task: str
    samples: SampleKind
    of: str
    make: SampleMaker
    card: str = ""
    counts: SplitCounts = field(default_factory=lambda: COUNTS)

    @property
    def source(self) -> str:
        """`nudenet==3.4.2, 320n.onnx`."""
        return f"{self.package}, {self.member.rpartition('/')[2]}"


def part_of(things: Sequence[Any], split: MadeSplit) -> list[Any]:
    """Those that a split may take: a quarter for calib, the others in turns; all where there are too few to part."""
    if len(things) < 4:
        return list(things)
    turns: tuple[MadeSplit, ...] = ("calib", "val", "test", "val", "test")
    return [thing for place, thing in enumerate(things) if turns[place % len(turns)] == split]
