"""Counters of what variants did, summed over a window, a roll-up or a fleet, and their flat form in a window."""

from contextlib import suppress
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.fields import MAX_TALLY, Tally, Word
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.leaving import ALWAYS, LeavesAs
from edgefleet_protocol.moments import NO_SCORES, Moments

MAX_CLASSES = 1_000
"""How many classes are counted by name, in a window as in any sum of windows; the rest counts as `OTHERS`."""
OTHERS = "(others)"


@dataclass(slots=True)
class ServingCounts:
    """How requests went; `errors` and `not_finite` (NaN or infinity in the output) count those not answered.

    `refused_labels` are none of the model's classes; applications were told so, and `scored` has none of them.
    """

    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    requests: int = 0
    errors: int = 0
    not_finite: int = 0
    refused_labels: int = 0

    def add(self, other: "ServingCounts") -> None:
        """Add the counts of `other`."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.add(other.latency)


@dataclass(slots=True)
class Counters:
    """What variants did: `scored` is how right their answers were, `categories` counts answers by class.

    `unchecked` is the part of `scored` whose labels nobody compared with the model's classes, as agents up to
    0.2 don't: some of those that count as wrong may be no class at all.
    """

    serving: ServingCounts = field(default_factory=ServingCounts)
    scored: Moments = NO_SCORES
    unchecked: Moments = NO_SCORES
    categories: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Counters") -> None:
        """Add the counters of `other`."""
        self.serving.add(other.serving)
        for name in MOMENTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for category, count in other.categories.items():
            self.categories[category] = self.categories.get(category, 0) + count
        self._fold()

    def count_category(self, name: str) -> None:
        """Count one answer of a class."""
        if name not in self.categories and len(self.categories) >= MAX_CLASSES:
            name = OTHERS
        self.categories[name] = self.categories.get(name, 0) + 1

    def _fold(self) -> None:
        """Keep the commonest classes by name, and count the rest as others."""
        if len(self.categories) <= MAX_CLASSES:
            return
        others = self.categories.pop(OTHERS, 0)
        ordered = sorted(self.categories.items(), key=lambda entry: (-entry[1], entry[0]))
        self.categories = dict(ordered[:MAX_CLASSES])
        if others := others + sum(count for _, count in ordered[MAX_CLASSES:]):
            self.categories[OTHERS] = others

    @property
    def checked(self) -> Moments:
        """The scores whose labels are known to be classes of the model."""
        return self.scored - self.unchecked

    def named_moments(self) -> dict[str, Moments]:
        """The moments that are not empty, by name."""
        return {name: moments for name in MOMENTS if (moments := getattr(self, name)).n}


COUNTS = tuple(one.name for one in fields(ServingCounts) if one.type is int)
"""The fields of `ServingCounts` that are plain numbers."""
MOMENTS = tuple(one.name for one in fields(Counters) if one.type is Moments)
"""The fields of `Counters` that are moments."""
_counts = attrgetter(*COUNTS)


def readable(latency: str | None) -> LatencyHistogram:
    """The histogram of a stored window, or an empty one if its text cannot be decoded: the other counts still hold.

    Ingest checks only the outside of the text, because thousands arrive per second.
    """
    if latency is not None:
        with suppress(MalformedMessage):
            return LatencyHistogram.decode(latency)
    return LatencyHistogram()


def _of_a_window(moments: Moments) -> Moments:
    if not moments.is_possible or moments.n > MAX_TALLY:
        raise ValueError(f"no set of scores has these moments: {moments}")
    return moments


_Moments = Annotated[Annotated[Moments, AfterValidator(_of_a_window)] | None, LeavesAs("aggregates")]
_Latency = Annotated[str, StringConstraints(max_length=16_000)]


class NamedMoments(BaseModel):
    """The moments of a window, by name; names from newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scored: _Moments = None


ON_THE_WIRE = tuple(NamedMoments.model_fields)


class FlatCounters(BaseModel):
    """Counters as a window carries them: the fields of version 0.1.0, plus `moments` for what they cannot express.

    `labelled` and `correct` are exact for scores of 0 and 1; for other scores `correct` is the closest count that a
    reader of 0.1.0 understands. `labels_checked` says that the agent refuses labels that are none of the model's
    classes, and counts them as `refused_labels`. Code reads `counters` and writes with `with_counters`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    requests: Annotated[Tally, LeavesAs("counts")] = 0
    errors: Annotated[Tally, LeavesAs("counts")] = 0
    not_finite: Annotated[Tally, LeavesAs("counts")] = 0
    latency: Annotated[_Latency | None, LeavesAs("aggregates")] = None
    labelled: Annotated[Tally, LeavesAs("aggregates")] = 0
    correct: Annotated[Tally, LeavesAs("aggregates")] = 0
    # How often each class was seen reveals what was in front of the camera.
    predicted: Annotated[dict[Word, Tally], Field(max_length=MAX_CLASSES + 1), LeavesAs("labels")] = Field(
        default_factory=dict
    )
    moments: NamedMoments | None = None

    refused_labels: Annotated[Tally, LeavesAs("counts")] = 0
    labels_checked: Annotated[bool, ALWAYS] = False

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        """Refuse counts that contradict each other.

        Labels may exceed answers: they come when they are known, and answers may have been in earlier windows. A field
        that the region does not let leave is as if nothing was counted.
        """
        if self.correct > self.labelled:
            raise ValueError(f"correct ({self.correct}) exceeds labelled ({self.labelled})")
        failed = self.errors + self.not_finite
        if failed > self.requests:
            raise ValueError(f"errors and not_finite ({failed}) exceed requests ({self.requests})")
        if self.requests and failed == self.requests and (self.predicted or self.latency):
            raise ValueError("answers are timed or counted by class, but no request was answered")
        scored = self.moments.scored if self.moments else None
        if scored and (scored.n, scored.hits) != (self.labelled, self.correct):
            raise ValueError(f"labelled ({self.labelled}) and correct ({self.correct}) are not those of {scored}")
        return self

    @property
    def counters(self) -> Counters:
        """The window's counters."""
        serving = ServingCounts(readable(self.latency), *_counts(self))
        return Counters(serving, categories=dict(self.predicted), **self.named_moments())

    def named_moments(self) -> dict[str, Moments]:
        """The window's moments, by name."""
        told = {"scored": Moments.of_hits(self.labelled, self.correct)} if self.labelled else {}
        if self.moments is not None:
            told |= {name: one for name in ON_THE_WIRE if (one := getattr(self.moments, name)) is not None}
        if not self.labels_checked and "scored" in told:
            told["unchecked"] = told["scored"]
        return told

    def with_counters(self, counters: Counters) -> Self:
        """The same window with these counters."""
        scored = counters.scored
        named = {name: one for name, one in counters.named_moments().items() if name in ON_THE_WIRE}
        if scored == Moments.of_hits(scored.n, scored.hits):
            named.pop("scored", None)
        told = {
            **dict(zip(COUNTS, _counts(counters.serving), strict=True)),
            "latency": counters.serving.latency.told,
            "labelled": scored.n,
            "correct": scored.hits,
            "predicted": dict(counters.categories),
            "moments": NamedMoments(**named) if named else None,
        }
        return self.model_copy(update=told)
