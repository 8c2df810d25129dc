"""The interface of a task: what kind of answer a model gives, and so how it is reduced, scored and compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec

Outputs = Sequence[NDArray[Any]]
"""A model's outputs to one request in the model's own order, each [samples, ...]."""
UNDECLARED = Spec()
"""What a card says that says nothing of its answers."""
Label = TypeVar("Label")
"""What a sample really is, as its task knows it."""
Given = TypeVar("Given", covariant=True)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model does not fit a task, and what to do, in one line."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure is called, what it counts, and which way it is better."""

    name: str
    unit: str = "share"
    better: Literal["higher", "lower"] = "higher"


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


class Task(Protocol[Label]):
    """One kind of answer. Reduced answers are bytes, which only their task reads.

    `measure` is what the mean of `score` is called, and that of `agree` where labels are missing; `headlined` is what
    `headline` gives. `loss` names what training reduces. `scores_alone` says whether a single answer can be scored by
    its label, as feedback needs, and `reads_all` whether every output counts, not only those that its spec names; a
    plug-in's task that does not say reads all.
    """

    name: str
    measure: Measure
    headlined: Measure
    loss: str
    scores_alone: bool
    reads_all: bool

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether a model with this signature does this task, by what its card declares; None if so."""

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """What to know of a model version, from its source's answers to val, request by request.

        What the card declares is kept; the rest is found.
        """

    def label(self, raw: Any, spec: Spec) -> Label:
        """A label as an application or a data set gives it: plain JSON, or a numpy value.

        Raises:
            ValueError: it is none; one line says what was expected.
        """

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The smallest form of each answer that can still be scored and compared; at most 4 KB a sample.

        Raises:
            ValueError: an answer is not finite, or not of this task.
        """

    def score(self, answer: bytes, label: Label, spec: Spec) -> float:
        """How right an answer is, from 0 to 1.

        Raises:
            NotScored: a single answer has no score.
        """

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """How far two answers are alike, from 0 to 1, whichever comes first."""

    def category(self, answer: bytes, spec: Spec) -> int:
        """What an answer counts as, from 0 to 255."""

    def category_name(self, category: int, spec: Spec) -> str:
        """What a category is called, in at most 200 characters."""

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How sure an answer is, from 0 to 7."""

    def headline(self, answers: Sequence[bytes], labels: Sequence[Label], spec: Spec) -> Interval:
        """The figure that people know this task by, over a whole split; figures of parts do not merge.

        Raises:
            NotScored: these answers and labels have none.
        """

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """Compare the answers of two runs over the same samples.

        Raises:
            ValueError: their numbers differ, or there are none.
        """


DECLARABLE = frozenset({"read_from", "thresholds", "scale", "boxes", "tokens"})
"""What a card may declare of its answers."""


@runtime_checkable
class ReadsDeclared(Protocol):
    """A task that says what it reads of what a card declares: a new card with more is refused."""

    reads: frozenset[str]

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """What of that cannot be obeyed.

        Args:
            signature: of the model.
            declared: what the card says.
            found: the spec that was made of it.
        """


@runtime_checkable
class GuessesLabels(Protocol):
    """A task whose labels may mean two things where an array alone says which."""

    def guessed_of(self, labels: NDArray[Any], spec: Spec) -> str | None:
        """What labels [samples, ...] were taken for, and how to say otherwise; None if they are clear."""


@runtime_checkable
class TruthByAnswers(Protocol[Given]):
    """A task by whose headline figure one file's answers are judged with another's as the truth."""

    def truth(self, answer: bytes, spec: Spec) -> Given:
        """What a label would say if the answer were right."""
