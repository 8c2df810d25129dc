"""Whether a new variant behaves, told in words, and never on too little."""

import random
from typing import Any

import pytest

from edgefleet_contract.rollouts import GATE_CHECKS, Gate, Judgement
from edgefleet_controller.records import Evidence
from edgefleet_controller.rescaling import ALIKE, Rescaling
from edgefleet_controller.rollouts.behaviour import TABLE, examine
from edgefleet_controller.rollouts.weighing import Crowd
from edgefleet_protocol.counters import Counters, ServingCounts
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.moments import Moments

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


def judged(
    new: dict[str, Counters],
    before: dict[str, Counters] | None = None,
    control: dict[str, Counters] | None = None,
    *,
    crowd: Crowd | None = None,
    rescaled: Rescaling = ALIKE,
    **gate: Any,
) -> dict[str, Judgement]:
    """The judgement of each check, in a wave of as many devices as there are unless said otherwise."""
    scored = {device: counters.scored for device, counters in (before or {}).items()}
    evidence = Evidence(PROFILE, new, scored, control or {}, rescaled=rescaled)
    found = examine(Gate.model_validate(gate), evidence, crowd or Crowd(len(new), len(new)))
    return {judgement.check: judgement for judgement in found}


def against(new: Counters, before: Counters | None = None, control: Counters | None = None, **gate: Any) -> list[str]:
    """What counts against a variant, on one device of few."""
    sides = [{"d": side} if side else {} for side in (new, before, control)]
    return [j.words for j in judged(*sides, **gate).values() if j.outcome == "failed"]


def each(count: int, counters: Counters, *liars: Counters) -> dict[str, Counters]:
    """So many devices that say the same, and others."""
    return {
        **{f"d{number}": counters for number in range(count)},
        **{f"liar{number}": liar for number, liar in enumerate(liars)},
    }


def test_the_table_has_every_check_and_each_is_told_on_whatever_evidence() -> None:
    assert tuple(TABLE) == GATE_CHECKS
    assert tuple(judged({})) == GATE_CHECKS
    assert {j.outcome for j in judged({}).values()} == {"not_judged"}


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


def unchecked(n: int, share: float) -> Counters:
    """Labels of an agent that doesn't check whether they are classes of the model."""
    scored = Moments.of_hits(n, round(n * share))
    return Counters(ServingCounts(requests=n), scored, scored)


@pytest.mark.parametrize(
    ("new", "outcome"),
    [
        ({"d0": unchecked(100, 0.9), "d1": unchecked(100, 0.9)}, "passed"),
        ({"d0": unchecked(100, 0.9), "d1": unchecked(100, 0.2)}, "inconclusive"),
        ({"d0": unchecked(100, 0.2), "d1": labels(100, 0.9)}, "inconclusive"),
        ({"d0": unchecked(100, 0.9), "d1": labels(100, 0.2)}, "failed"),
    ],
    ids=["right all the same", "wrong or impossible", "checked ones are right", "checked ones are wrong"],
)
def test_labels_that_nobody_checked_never_fail_a_variant(new: dict[str, Counters], outcome: str) -> None:
    judgement = judged(new, {"b": labels(900, 0.9)}, min_devices=1)["accuracy"]
    assert judgement.outcome == outcome
    assert ("may be none of the model's classes" in judgement.words) == (outcome == "inconclusive")


@pytest.mark.parametrize(
    ("before", "outcome"),
    [(unchecked(900, 0.9), "failed"), (unchecked(20, 0.9), "inconclusive"), (unchecked(900, 0.2), "inconclusive")],
    ids=["right before", "too few before", "wrong before"],
)
def test_labels_of_a_device_whose_labels_were_right_before_count(before: Counters, outcome: str) -> None:
    usual = {"d0": labels(900, 0.9), "d1": labels(900, 0.9), "old": before}
    assert judged({"old": unchecked(300, 0.2)}, usual, min_devices=1)["accuracy"].outcome == outcome


def test_labels_that_were_all_refused_are_named() -> None:
    refused = Counters(ServingCounts(requests=80, refused_labels=80))
    words = judged({"d": refused}, {"d": labels(900, 0.9)})["accuracy"].words
    assert words == "no labels yet: 80 labels were refused, as they are none of the model's classes"


@pytest.mark.parametrize(
    ("refused", "share", "outcome"),
    [(0, 0.1, "failed"), (7, 0.1, "inconclusive"), (7, 0.9, "passed")],
    ids=["none refused", "it counts from 1", "a slip"],
)
def test_an_application_that_numbers_its_labels_wrongly_fails_no_variant(
    refused: int, share: float, outcome: str
) -> None:
    counting = Counters(ServingCounts(requests=80, refused_labels=refused), Moments.of_hits(80, round(80 * share)))
    judgement = judged({"d": counting}, {"b": labels(900, 0.9)})["accuracy"]
    assert judgement.outcome == outcome
    assert ("may number the others wrongly" in judgement.words) == (outcome == "inconclusive")


def test_what_the_other_devices_say_still_fails_it() -> None:
    counting = Counters(ServingCounts(requests=80, refused_labels=7), Moments.of_hits(80, 8))
    found = judged({"d": counting, "e": labels(80, 0.1)}, {"d": labels(900, 0.9)}, min_devices=1)["accuracy"]
    assert found.outcome == "failed"
    assert found.words.startswith("eu/rpi4/lte: 80 labels, 10.0% against 90.0%")


def test_refused_labels_are_told_beside_those_that_count_and_change_no_verdict() -> None:
    both = Counters(ServingCounts(requests=160, refused_labels=80), Moments.of_hits(80, 72))
    judgement = judged({"d": both}, {"d": labels(900, 0.9)})["accuracy"]
    assert judgement.outcome == "passed"
    assert judgement.words.endswith("80 more labels were refused, as they are none of the model's classes")


def test_scores_between_right_and_wrong_are_judged_by_how_far_they_spread() -> None:
    """The same means: two sure samples are told apart where hits and misses may be chance."""
    mean = [Counters(scored=Moments.of(*[share] * 60)) for share in (0.7, 0.8)]
    hits = [labels(60, share) for share in (0.7, 0.8)]
    gate = {"max_accuracy_drop": 0.02, "min_labels": 50}
    assert against(hits[0], hits[1], **gate) == []
    assert against(mean[0], mean[1], **gate) == ["eu/rpi4/lte: 60 labels, 70.0% against 80.0%, p < 0.001"]


def test_scores_by_a_wider_scale_are_judged_by_that_of_what_ran_before() -> None:
    close = Counters(ServingCounts(requests=200), scored=Moments.of(*[0.97, 0.99] * 100))
    before = {"d": Counters(ServingCounts(requests=200), scored=close.scored)}
    assert judged({"d": close}, before)["accuracy"].outcome == "passed"
    wider = judged({"d": close}, before, rescaled=Rescaling(1.0, 10.0))["accuracy"]
    assert wider.outcome == "inconclusive"
    assert "98.0% by its own scale is anything down to" in wider.words and "80.0% against 98.0%" in wider.words
    assert "by up to 10 times as much as before; set answers.scale in both cards" in wider.words
    surely = judged({"d": close}, before, rescaled=Rescaling(8.0, 10.0))["accuracy"]
    assert surely.outcome == "failed" and "84.0% against 98.0%" in surely.words
    slightly = judged({"d": close}, before, rescaled=Rescaling(1.0, 1.2))["accuracy"]
    assert slightly.outcome == "passed" and "97.6% against 98.0%" in slightly.words


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


NOTHING = Counters()
ASKED = timed(200, 1.0)
MILLION_WRONG, MILLION_RIGHT = labels(1_000_000, 0.0), labels(1_000_000, 1.0)
GOOD, BAD, BEFORE = labels(60, 0.9), labels(60, 0.6), each(5, labels(100, 0.9))


@pytest.mark.parametrize(
    ("check", "sides", "crowd", "words"),
    [
        ("accuracy", [each(1, ASKED)], Crowd(1, 1), "no labels yet"),
        ("accuracy", [each(1, labels(40, 1))], Crowd(1, 1), "no labels of what ran before"),
        ("accuracy", [each(1, labels(40, 1)), each(1, labels(60, 1))], Crowd(1, 1), "40 labels, 50 needed"),
        ("accuracy", [each(1, labels(60, 1)), each(1, labels(12, 1))], Crowd(1, 1), "12 labels of what ran before"),
        ("accuracy", [each(2, labels(900, 1))], Crowd(9, 9), "labels of only 2 of 9 devices, 3 needed"),
        ("accuracy", [each(1, labels(900, 1)), each(5, labels(90, 1))], Crowd(1, 7), "labels of one device only"),
        ("accuracy", [each(5, labels(20, 1)), BEFORE], Crowd(5, 5), "60 labels that count, of 100, 80 needed"),
        ("errors", [each(3, NOTHING)], Crowd(3, 3), "no requests yet"),
        ("errors", [each(3, failing(10))], Crowd(3, 3), "30 requests, 80 needed"),
        ("latency", [each(3, NOTHING)], Crowd(3, 3), "no timed answers yet"),
        ("latency", [each(3, ASKED)], Crowd(3, 3), "no device of the rollout that answers still runs the old variant"),
        ("latency", [each(3, ASKED), {}, each(2, timed(5, 1.0))], Crowd(3, 3), "10 answers of the old"),
    ],
)  # fmt: skip
def test_what_is_not_judged_is_said_with_what_is_missing(check: str, sides: list, crowd: Crowd, words: str) -> None:
    gate = {"min_labels": 80 if "80" in words else 50, "min_requests": 80}
    judgement = judged(*sides, crowd=crowd, **gate)[check]
    assert judgement.outcome == "not_judged"
    assert words in judgement.words


def test_one_device_of_five_that_says_a_million_times_that_all_is_wrong_stops_nothing_and_is_named() -> None:
    accuracy = judged(each(4, GOOD, MILLION_WRONG), BEFORE)["accuracy"]
    assert accuracy.outcome == "passed"
    assert accuracy.outliers == ("liar0",)
    assert accuracy.words.endswith("; not counted, as they differ from the others: liar0")


def test_one_device_of_five_that_says_a_million_times_that_all_is_right_hides_nothing_and_is_named() -> None:
    accuracy = judged(each(4, BAD, MILLION_RIGHT), BEFORE)["accuracy"]
    assert (accuracy.outcome, accuracy.outliers) == ("failed", ("liar0",))
    assert "180 labels of 3 devices, 60.0% against 90.0%, p < 0.001" in accuracy.words


@pytest.mark.parametrize("lie", [MILLION_WRONG, MILLION_RIGHT], ids=["wrong", "right"])
def test_one_lie_about_what_ran_before_moves_no_verdict(lie: Counters) -> None:
    before = each(4, labels(100, 0.9), lie)
    assert judged(each(5, GOOD), before)["accuracy"].outcome == "passed"
    assert judged(each(5, BAD), before)["accuracy"].outcome == "failed"


@pytest.mark.parametrize("devices", [1, 2])
def test_a_lone_device_of_its_profile_does_not_decide_for_a_wave_of_five(devices: int) -> None:
    """With two of the profile, both must show it."""
    crowd = Crowd(devices, 5)
    for honest in (GOOD, BAD)[: devices - 1]:
        told = each(devices - 1, honest, MILLION_WRONG)
        assert judged(told, BEFORE, crowd=crowd)["accuracy"].outcome == ("passed" if honest is GOOD else "failed")
    assert judged(each(0, GOOD, MILLION_WRONG), BEFORE, crowd=Crowd(1, 5))["accuracy"].outcome == "not_judged"


def test_one_device_of_five_decides_neither_on_errors_nor_on_latency() -> None:
    lie = timed(10_000, 500.0)
    lie.serving.errors = 1_000_000
    control = each(5, timed(100, 1.0))
    found = judged(each(4, timed(100, 1.0), lie), {}, control)
    assert {found[check].outcome for check in ("errors", "latency")} == {"passed"}
    assert {found[check].outliers for check in ("errors", "latency")} == {("liar0",)}
    bad = timed(100, 500.0)
    bad.serving.errors = 50
    hidden = judged(each(4, bad, timed(10_000, 0.01)), {}, control)
    assert {hidden[check].outcome for check in ("errors", "latency")} == {"failed"}
    for slow in (0.02, 900.0):
        theirs = each(4, timed(100, 1.0), timed(10_000, slow))
        assert judged(each(5, timed(100, 1.0)), {}, theirs)["latency"].outcome == "passed", "a lie of a control device"
        assert judged(each(5, bad), {}, theirs)["latency"].outcome == "failed"


def test_a_bad_variant_in_a_wave_of_fewer_than_five_is_stopped_by_the_devices_there_are() -> None:
    assert judged({"only": BAD}, {"only": labels(200, 0.9)})["accuracy"].outcome == "failed"
    assert judged(each(3, labels(40, 0.5)), each(3, labels(40, 0.9)))["accuracy"].outcome == "failed"


SEEDS = 500


def accuracy_of(seed: int, share: float, *lies: Counters) -> str:
    """Six to twelve devices with labels at random, each a little better or worse than the others."""
    rng = random.Random(seed)
    devices = rng.randint(6, 12)

    def told(at: float) -> dict[str, Counters]:
        return {
            f"d{number}": hits(rng, rng.randint(10, 60), at + rng.uniform(-0.01, 0.01)) for number in range(devices)
        }

    before, new = told(0.9), told(share)
    for number, lie in enumerate(lies):
        new[f"d{number}"] = lie
    return judged(new, before)["accuracy"].outcome


def hits(rng: random.Random, n: int, share: float) -> Counters:
    return Counters(scored=Moments.of_hits(n, sum(rng.random() < share for _ in range(n))))


@pytest.mark.parametrize("labelled", [0, 1, 60, 1_000_000])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_with_or_without_a_liar_good_variants_pass_and_bad_ones_are_stopped_over_many_seeds(
    labelled: int, share: float
) -> None:
    """At the tolerated drop, at most 0.1 % of the rollouts should be stopped; 20 points below, nearly all."""
    lies = [labels(labelled, share)] if labelled else []
    assert sum(accuracy_of(seed, 0.9, *lies) == "failed" for seed in range(SEEDS)) == 0
    assert sum(accuracy_of(seed, 0.88, *lies) == "failed" for seed in range(SEEDS)) <= 3, "P(more | 0.1 %) < 0.2 %"
    assert sum(accuracy_of(seed, 0.7, *lies) == "failed" for seed in range(SEEDS)) >= 0.85 * SEEDS


def test_failures_that_are_too_few_to_judge_are_told_all_the_same() -> None:
    found = judged({"d": Counters(ServingCounts(requests=8, errors=6))})["errors"]
    assert (found.outcome, found.words) == ("not_judged", "8 requests, 50 needed; 6 answers failed")
