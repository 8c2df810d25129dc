"""Rating: one class of several that have an order, such as stars: a neighbour is nearly right."""

from collections.abc import Sequence

from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.intervals import SampleWeights, bootstrapped
from edgefleet_tasks.task import Measure
from edgefleet_tasks.tasks.classification import Classification, read


class Rating(Classification):
    """One class of several in an order."""

    name = "rating"
    measure = Measure("closeness")
    headlined = Measure("mean error", unit="classes", better="lower")

    def score(self, answer: bytes, label: int, spec: Spec) -> float:
        """1 for the right class, 0 for the furthest."""
        return 1 - abs(read(answer).top - label) / max(spec.classes - 1, 1)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """As the score, with another answer in place of the label."""
        return self.score(one, read(other).top, spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[int], spec: Spec) -> Interval:
        """How many classes an answer is off, on average."""
        off = [abs(read(answer).top - label) for answer, label in zip(answers, labels, strict=True)]

        def figure(weights: SampleWeights) -> float:
            return sum(w * one for w, one in zip(weights.tolist(), off, strict=True)) / float(weights.sum())

        return bootstrapped(figure, len(off))


TASK = Rating()
