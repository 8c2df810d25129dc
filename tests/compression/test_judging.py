"""Scores, drops and agreement are the task's own; of a classifier they are what they were."""

import numpy as np
import pytest

from edgefleet_compression.judging import Judge, drop, mean_of
from edgefleet_protocol.spec import PROBABILITIES, BoxReading, OutputColumns, Spec
from edgefleet_tasks.intervals import mean_score, wilson
from edgefleet_tasks.registry import task_named

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)


def judged(noise: float) -> tuple[Judge, list[bytes]]:
    logits = np.eye(3)[LABELS] + noise * RNG.normal(size=(200, 3))
    judge = Judge(task_named("classification"), Spec())
    return judge, judge.task.reduce([logits.astype(np.float32)], judge.spec)


def test_of_a_classifier_scores_are_hits_with_wilsons_interval() -> None:
    judge, answers = judged(1.0)
    scores = judge.scores(answers, LABELS)
    assert scores is not None and set(scores.tolist()) == {0.0, 1.0}
    hits = int(scores.sum())
    assert mean_of(scores) == wilson(hits, 200)
    assert judge.headline(answers, LABELS) == wilson(hits, 200)
    assert judge.scores(answers, None) is None and judge.headline(answers, None) is None and mean_of(None) is None


def test_a_drop_is_paired() -> None:
    judge, before = judged(0.1)
    _, after = judged(1.5)
    a, b = judge.scores(before, LABELS), judge.scores(after, LABELS)
    lost = drop(a, b)
    assert a is not None and b is not None and lost is not None
    assert lost.value == pytest.approx(a.mean() - b.mean()) and lost.low < lost.value < lost.high
    assert drop(a, a) is not None and drop(a, None) is None
    same = drop(a, a)
    assert same and (same.low, same.value, same.high) == (0.0, 0.0, 0.0)


def test_agreement_needs_no_labels() -> None:
    judge, answers = judged(0.5)
    assert judge.agreement(answers, answers) == 1
    _, others = judged(3.0)
    assert 0.3 < judge.agreement(answers, others) < 0.9


def test_scores_between_hit_and_miss_have_a_narrower_interval() -> None:
    values = RNG.random(100) * 0.2 + 0.4
    found = mean_score(values)
    assert found.low < values.mean() < found.high
    whole = wilson(round(values.sum()), 100)
    assert found.high - found.low < whole.high - whole.low


def test_a_task_without_scores_is_compared_all_the_same() -> None:
    judge = Judge(task_named("embedding"), Spec())
    answers = judge.task.reduce([RNG.normal(size=(20, 64)).astype(np.float32)], judge.spec)
    assert judge.scores(answers, LABELS[:20]) is None
    assert judge.agreement(answers, answers) == pytest.approx(1)


def test_without_labels_a_detector_is_judged_by_the_boxes_of_the_file_itself() -> None:
    reading = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4, 1), OutputColumns(0, 5, 1))
    judge = Judge(task_named("detection"), Spec(PROBABILITIES, boxes=reading, thresholds=(0.3,)))
    rows = np.array([[0, 0, 10, 10, 0.9, 0], [40, 40, 60, 60, 0.8, 1], [5, 5, 9, 9, 0.1, 1]], np.float32)
    moved = np.array([1, 1, 1, 1, 0, 0], np.float32)
    exact = [np.stack([rows + n * moved for n in range(8)])]
    before = judge.task.reduce(exact, judge.spec)
    shifted, unsure = exact[0].copy(), exact[0].copy()
    shifted[:, 1, :4] += 15
    unsure[..., 4] *= 0.3  # below the threshold, and in the same order
    found = [judge.headline_by(before, judge.task.reduce([one], judge.spec)) for one in (exact[0], shifted, unsure)]
    assert [one.value if one else None for one in found] == [1.0, 0.5, 1.0]
    nothing = judge.task.reduce([exact[0] * moved], judge.spec)
    assert judge.headline_by(nothing, before) is None, "there is no box to be found"


def test_a_classifiers_answers_are_judged_by_how_far_they_agree() -> None:
    judge, answers = judged(0.1)
    assert judge.headline_by(answers, answers) is None
