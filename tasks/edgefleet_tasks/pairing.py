"""Two versions beside each other, from their answers to the same samples: before any device is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.moments import Moments
from edgefleet_protocol.signature import Tensor
from edgefleet_protocol.spec import STRATA, Spec
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.intervals import mean_score
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.step_labels import StepLabels, means_of
from edgefleet_tasks.task import Task

NO_LABELS = "there are no labels"


@dataclass(frozen=True, slots=True)
class PairOnVal:
    """How far the answers of a new version are from those of an old one, by the old one's spec.

    Attributes:
        samples: how many both answered, each with all its steps.
        agree: by how sure the old answers were, the agreement of both.
        gain: (1 + new score - old score) / 2; empty without scores.
        disagreement: 1 - the mean agreement.
        score_before: the mean score of the old version; None without scores.
        score: that of the new one.
        drop: by how much the new score is below the old one, sample by sample; None without scores.
        not_scored: why there are no scores; None if there are.
    """

    samples: int
    agree: tuple[Moments, ...]
    gain: Moments
    disagreement: Interval
    score_before: float | None = None
    score: float | None = None
    drop: Interval | None = None
    not_scored: str | None = None


def paired(old: AnswerSet, new: AnswerSet, labels: Sequence[Any] | None, at_most: int = 0) -> PairOnVal | str:
    """Compare two versions; or why that cannot be done, in words.

    Args:
        old: the answers of the version that devices have.
        new: those of the version that they would get.
        labels: what the samples really are, as the data has them; None if that is not known.
        at_most: how many samples to compare, which lie evenly among all; 0 for all.
    """
    if (reason := _why_no_pair(old, new)) is not None:
        return reason
    if labels is not None and old.steps and len(labels) == len(old.steps):
        labels = StepLabels(labels, old.steps)
    places, steps = _chosen(old, at_most)
    if labels is not None and len(labels) == len(old.answers):
        labels = [labels[place] for place in places]
    old, new = (replace(_those_at(places, one), steps=steps) for one in (old, new))
    spec = old.spec
    try:
        task = task_named(old.task)
        agreed = [task.agree(a, b, spec) for a, b in zip(old.answers, new.answers, strict=True)]
        strata: list[list[float]] = [[] for _ in range(STRATA)]
        for answer, share in zip(old.answers, agreed, strict=True):
            strata[task.stratum(answer, spec)].append(share)
    except ValueError as error:
        return f"the answers cannot be compared: {error}"
    found = PairOnVal(
        samples=len(old.steps or agreed),
        agree=tuple(Moments.of(*shares) for shares in strata),
        gain=Moments(),
        disagreement=mean_score(_by_sample([1 - share for share in agreed], old.steps)),
    )
    return _scored(found, task, old, new, labels)


def why_other_steps(old: str, new: str, old_steps: bool, new_steps: bool) -> str | None:
    """Why two versions have no samples in common, if one alone keeps state and so is asked step by step.

    Args:
        old: how the older one is called.
        new: how the newer one is.
        old_steps: whether the older one is asked step by step.
        new_steps: whether the newer one is.
    """
    if old_steps == new_steps:
        return None
    keeps, other = (old, new) if old_steps else (new, old)
    return f"{keeps} keeps state, and is asked step by step, and {other} does not: no samples are for both"


def why_other_samples(old: str, new: str, before: AnswerSet, after: AnswerSet) -> str | None:
    """Why a version could never be asked the samples of another one, by what each is sent; None if it might.

    Args:
        old: how the older one is called.
        new: how the newer one is.
        before: answers of the older one to any samples.
        after: those of the newer one.
    """
    if (told := why_other_steps(old, new, bool(before.steps), bool(after.steps))) is not None:
        return told
    takes, sent = (_by_name(one, before, after) for one in (before, after))
    if takes.keys() == sent.keys() and all(_might_take(takes[name], sent[name]) for name in sent):
        return None
    return f"{old} takes {_told(takes)}, and {new} {_told(sent)}: no samples are for both"


def _by_name(one: AnswerSet, *both: AnswerSet) -> dict[str, Tensor]:
    """The inputs by name; a single one has none, as there is only one way, whatever it is called."""
    single = all(len(answers.signature.inputs) == 1 for answers in both)
    return {"" if single else tensor.name: tensor for tensor in one.signature.inputs}


def _might_take(tensor: Tensor, sent: Tensor) -> bool:
    """Whether an input may take what another one is sent."""
    wanted, given = (np.dtype(BY_NAME[one.datatype].numpy) for one in (tensor, sent))
    castable = wanted.kind != "O" and given.kind != "O" and np.can_cast(given, wanted, "same_kind")
    pairs = list(zip(tensor.sample_shape, sent.sample_shape, strict=False))
    alike = all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))
    return (castable or wanted == given) and len(tensor.sample_shape) == len(sent.sample_shape) and alike


def _told(inputs: dict[str, Tensor]) -> str:
    return ", ".join(f"{name[:60]} {tensor.datatype} {tensor.shown}".strip() for name, tensor in inputs.items())[:400]


def _chosen(found: AnswerSet, at_most: int) -> tuple[Sequence[int], tuple[int, ...]]:
    """The answers to compare, and how many of them each sequence has: whole ones, and at least one."""
    if not found.steps:
        return _evenly(len(found.answers), at_most), ()
    longest = max(found.steps)
    rows = _evenly(len(found.steps), max(at_most // longest, 1) if at_most else 0)
    ends = np.cumsum(found.steps).tolist()
    places = [place for row in rows for place in range(ends[row] - found.steps[row], ends[row])]
    return places, tuple(found.steps[row] for row in rows)


def _by_sample(values: ArrayLike, steps: Sequence[int]) -> NDArray[np.float64]:
    """One value a sample: the steps of a sequence are alike, and no more than one."""
    return means_of(values, steps) if steps else np.asarray(values, np.float64)


def _evenly(count: int, at_most: int) -> Sequence[int]:
    """At most so many places that lie evenly among all; all of them for 0."""
    return range(count) if not at_most or count <= at_most else [n * count // at_most for n in range(at_most)]


def _those_at(places: Sequence[int], found: AnswerSet) -> AnswerSet:
    return replace(found, answers=tuple(found.answers[place] for place in places))


def _why_no_pair(old: AnswerSet, new: AnswerSet) -> str | None:
    if old.task != new.task:
        return f"the task was {old.task}, and is {new.task}"
    if old.data != new.data:
        return "no samples of val were asked of both"
    if len(old.answers) != len(new.answers) or not old.answers:
        return f"there are {len(old.answers)} answers of the one and {len(new.answers)} of the other"
    if old.spec.names and new.spec.names and old.spec.names != new.spec.names:
        return "its classes have other names, or come in another order"
    if old.spec.width and new.spec.width and old.spec.width != new.spec.width:
        return f"an answer was of {old.spec.width}, and is of {new.spec.width}"
    return None


def _scored(
    found: PairOnVal, task: Task[Any], old: AnswerSet, new: AnswerSet, labels: Sequence[Any] | None
) -> PairOnVal:
    """The same pair with scores, or with the reason why there are none."""
    if labels is None:
        return replace(found, not_scored=NO_LABELS)
    if not task.scores_alone:
        return replace(found, not_scored=f"a single answer of {task.name} has no score")
    if len(labels) != len(old.answers):
        return replace(found, not_scored=f"there are {len(labels)} labels for {len(old.answers)} answers")
    said = [place for place, label in enumerate(labels) if label is not None]
    steps = old.steps if len(said) == len(labels) else ()
    try:
        read = [task.label(labels[place], old.spec) for place in said]
        scored = [_scores(task, _those_at(said, one).answers, read, old.spec) for one in (old, new)]
    except ValueError as error:
        return replace(found, not_scored=f"the labels cannot be used: {error}")
    before, after = (_by_sample(scores, steps) for scores in scored)
    gains = (1 + after - before) / 2
    mean = mean_score(gains)
    return replace(
        found,
        gain=Moments.of(*gains.tolist()),
        score_before=float(before.mean()),
        score=float(after.mean()),
        drop=Interval(1 - 2 * mean.value, 1 - 2 * mean.high, 1 - 2 * mean.low),
    )


def _scores(task: Task[Any], answers: Sequence[bytes], labels: Sequence[Any], spec: Spec) -> NDArray[np.float64]:
    pairs = zip(answers, labels, strict=True)
    return np.array([task.score(answer, label, spec) for answer, label in pairs], np.float64)
