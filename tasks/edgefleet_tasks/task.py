"""The interface of a task: what kind of answer a model gives, and so how it is reduced, scored and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec

Outputs = Sequence[NDArray[Any]]
"""A model's outputs in its own order, each [samples, ...]."""
Label = int
"""What a sample really is, as its task knows it; the types of further tasks join here."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model does not fit a task, and what to do, in one line."""

    sentence: str


@dataclass(frozen=True, slots=True)
class RunComparison:
    """How two runs of one variant over the same samples differ.

    `agreement` is the mean over the samples, 1 best. `difference` is the largest of any number in an answer, from 0 to
    1. `scaling` is by what factor the answers of one run are larger than those of the other, 1 best: it is seen even
    where no single number differs by much.
    """

    agreement: float
    difference: float
    scaling: float


class Task(Protocol):
    """One kind of answer. Reduced answers are bytes, which only their task reads."""

    name: str

    def fits(self, signature: Signature, labels: Sequence[str]) -> Refusal | None:
        """Whether a model with this signature and these names of classes does this task; None if so."""

    def spec(self, signature: Signature, val: Outputs) -> Spec:
        """What to know of a model version, from its source's answers to val."""

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The smallest form of each answer that can still be scored and compared; at most 4 KB a sample.

        Raises:
            ValueError: an answer is not finite, or not of this task.
        """

    def score(self, answer: bytes, label: Label, spec: Spec) -> float:
        """How right an answer is, from 0 to 1."""

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """How far two answers are alike, from 0 to 1."""

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How sure an answer is, from 0 to 7."""

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """Compare the answers of two runs over the same samples.

        Raises:
            ValueError: their numbers differ, or there are none.
        """
