"""Whether a new variant behaves, told in words, and never on too little."""

import pytest

from edgefleet_contract.rollouts import Gate
from edgefleet_controller.records import Evidence
from edgefleet_controller.rollouts.behaviour import examine
from edgefleet_protocol.counters import Counters, Moments, ServingCounts
from edgefleet_protocol.latency import LatencyHistogram

PROFILE = "eu/rpi4/lte"


def labels(n: int, share: float) -> Counters:
    return Counters(ServingCounts(requests=n), Moments.of_hits(n, round(n * share)))


def failing(n: int, **failed: int) -> Counters:
    return Counters(ServingCounts(requests=n, **failed))


def timed(n: int, *milliseconds: float) -> Counters:
    latency = LatencyHistogram()
    for i in range(n):
        latency.record(milliseconds[i % len(milliseconds)] / 1000)
    return Counters(ServingCounts(latency, requests=n))


def against(new: Counters, before: Counters | None = None, control: Counters | None = None, **gate: float) -> list[str]:
    evidence = Evidence(PROFILE, new, before or Counters(), control or Counters())
    return [f.words for f in examine(Gate.model_validate(gate), evidence) if f.against]


def test_an_accuracy_drop_fails_with_its_figures() -> None:
    assert against(labels(412, 0.716), labels(900, 0.909)) == [
        "eu/rpi4/lte: 412 labels, 71.6% against 90.9%, p < 0.001"
    ]


@pytest.mark.parametrize(
    ("new", "before"),
    [
        (labels(49, 0.2), labels(900, 0.9)),
        (labels(400, 0.2), labels(49, 0.9)),
        (labels(400, 0.89), labels(900, 0.9)),
        (labels(400, 0.99), labels(900, 0.9)),
        (labels(60, 0.82), labels(900, 0.9)),
    ],
    ids=["too few labels", "nothing to compare with", "within the tolerance", "better", "may be chance"],
)
def test_too_little_or_too_small_a_drop_does_not(new: Counters, before: Counters) -> None:
    assert against(new, before) == []


def test_scores_between_right_and_wrong_are_judged_by_how_far_they_spread() -> None:
    """The same means: two sure samples are told apart where hits and misses may be chance."""
    mean = [Counters(scored=Moments.of(*[share] * 60)) for share in (0.7, 0.8)]
    hits = [labels(60, share) for share in (0.7, 0.8)]
    gate = {"max_accuracy_drop": 0.02, "min_labels": 50}
    assert against(hits[0], hits[1], **gate) == []
    assert against(mean[0], mean[1], **gate) == ["eu/rpi4/lte: 60 labels, 70.0% against 80.0%, p < 0.001"]


def test_a_perfect_record_on_both_sides_is_no_division_by_zero() -> None:
    assert against(labels(100, 1.0), labels(100, 1.0)) == []
    assert against(labels(100, 0.0), labels(100, 1.0)) != []


def test_failed_answers_and_answers_that_are_not_finite_count_together() -> None:
    words = "eu/rpi4/lte: 12 of 200 answers failed, at most 1.0% allowed"
    assert against(failing(200, errors=6, not_finite=6)) == [words]
    assert against(failing(200, errors=2)) == []
    assert against(failing(10, errors=10)) == []


def test_a_slower_p95_than_devices_that_still_run_the_old_variant_fails() -> None:
    old = timed(400, 1, 1.1, 1.2, 1.3)
    assert against(timed(400, 1, 2, 3, 4), control=old)[0].startswith("eu/rpi4/lte: p95 4.0")
    assert against(timed(400, 1, 1.1, 1.2, 1.4), control=old) == []
    assert against(timed(400, 1, 2, 3, 4)) == [], "no control, no verdict"
    assert against(timed(20, 9), control=old) == []


def test_one_slow_answer_in_a_hundred_is_no_slower_p95() -> None:
    assert against(timed(1000, *([1.0] * 99), 50.0), control=timed(1000, 1.0)) == []
