"""Counters: exact in any order, flat on the wire, and the same for a reader or a sender of version 0.1.0."""

import json
import random
from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from edgefleet_protocol.counters import (
    COUNTS,
    MAX_CLASSES,
    MOMENTS,
    OTHERS,
    Counters,
    NamedMoments,
    ServingCounts,
)
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import TelemetryWindow, decode, encode
from edgefleet_protocol.moments import SCALE, Moments

WINDOW = TelemetryWindow(
    incarnation="0" * 32,
    seq=1,
    first_kept_seq=1,
    model="pets",
    model_version=1,
    variant="0" * 64,
    generation=1,
    duration_ms=1,
    labels_checked=True,
)


class Window010(BaseModel):
    """What the counters of a window were to version 0.1.0, which ignored what it did not know."""

    model_config = ConfigDict(extra="ignore")

    requests: int = 0
    errors: int = 0
    not_finite: int = 0
    latency: str | None = None
    labelled: int = 0
    correct: int = 0
    predicted: dict[str, int] = {}


def counters(scored: Moments) -> Counters:
    """Another value in each field."""
    latency = LatencyHistogram()
    latency.record(0.002)
    serving = ServingCounts(latency, requests=41, errors=5, not_finite=7, refused_labels=3)
    return Counters(serving, scored, categories={"cat": 13, "dog": 16})


def sent(told: Counters) -> dict[str, Any]:
    return json.loads(encode(WINDOW.with_counters(told)))


def received(**told: Any) -> Counters:
    return decode(TelemetryWindow, json.dumps({**json.loads(encode(WINDOW)), **told}).encode()).counters


SCORES = {"hits": Moments.of_hits(17, 11), "scores": Moments.of(0.25, 0.5, 1, 0.123456), "none": Moments()}


@pytest.mark.parametrize("scored", SCORES.values(), ids=SCORES)
def test_counters_survive_the_wire(scored: Moments) -> None:
    assert decode(TelemetryWindow, encode(WINDOW.with_counters(counters(scored)))).counters == counters(scored)


def test_a_reader_of_the_previous_version_reads_the_same_counts() -> None:
    told = sent(counters(Moments.of_hits(17, 11)))
    assert "moments" not in told
    read = Window010.model_validate(told)
    assert (read.requests, read.errors, read.not_finite, read.labelled, read.correct) == (41, 5, 7, 17, 11)
    assert read.predicted == {"cat": 13, "dog": 16}
    assert LatencyHistogram.decode(read.latency or "") == counters(Moments()).serving.latency


def test_it_reads_scores_between_right_and_wrong_as_the_nearest_count() -> None:
    read = Window010.model_validate(sent(counters(Moments.of(0.9, 0.9, 0.8, 0))))
    assert (read.labelled, read.correct) == (4, 3)


def test_a_window_of_the_previous_version_is_read_as_right_and_wrong() -> None:
    old = Window010(requests=41, errors=5, not_finite=7, labelled=17, correct=11, predicted={"cat": 13, "dog": 16})
    old.latency = counters(Moments()).serving.latency.told
    read, scored = received(**old.model_dump(), labels_checked=False), Moments.of_hits(17, 11)
    expected = counters(scored)
    expected.serving.refused_labels, expected.unchecked = 0, scored
    assert read == expected
    assert read.checked == Moments(), "no label is known to be a class of the model"


def test_moments_are_taken_before_the_flat_fields() -> None:
    scored = {"n": 4, "sum": 2_600_000, "sum2": 2_260_000}
    assert received(labelled=4, correct=3, moments={"scored": scored}).scored == Moments(**scored)


def test_moments_of_a_newer_version_are_passed_over() -> None:
    newer = {"surprise": {"strata": [1, 2]}, "scored": {"n": 1, "sum": 5, "sum2": 0, "sum3": 0}}
    assert received(labelled=1, moments=newer).scored == Moments(1, 5, 0)
    assert received(labelled=2, correct=1, moments={"surprise": {}}).scored == Moments.of_hits(2, 1)


@pytest.mark.parametrize(
    "scored",
    [
        {"n": 1, "sum": SCALE + 1, "sum2": 0},
        {"n": 2, "sum": 5, "sum2": 6},
        {"n": 2, "sum": 5, "sum2": -1},
        {"n": 2, "sum": SCALE, "sum2": SCALE // 2 - 10},
        {"n": -1, "sum": 0, "sum2": 0},
        {"n": 2**40, "sum": 0, "sum2": 0},
        {"n": 1, "sum": 0.5, "sum2": 0},
        {"n": 1, "sum": "x", "sum2": 0},
    ],
    ids=str,
)
def test_moments_that_no_scores_have_are_refused(scored: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage, match="moments"):
        received(moments={"scored": scored})


def test_merging_is_adding_in_any_order() -> None:
    rng = random.Random(3)
    scores = [rng.random() for _ in range(300)] + [0, 1]
    at_once = Moments.of(*scores)
    rng.shuffle(scores)
    one_by_one = Moments()
    for score in scores:
        one_by_one += Moments.of(score)
    assert one_by_one == at_once
    assert at_once.is_possible
    assert all(Moments.of(*[score] * n).is_possible for score in scores for n in (1, 7, 1000))
    assert at_once.mean == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    spread = sum(score**2 for score in scores) / len(scores) - (sum(scores) / len(scores)) ** 2
    assert at_once.variance == pytest.approx(spread, abs=1e-6)


def test_hits_are_scores_of_one_and_their_mean_is_the_exact_share() -> None:
    assert Moments.of_hits(3, 2) == Moments.of(1, 0, 1)
    assert Moments.of_hits(7, 3).mean == 3 / 7
    assert Moments.of_hits(7, 3).hits == 3
    assert (Moments().mean, Moments().variance) == (None, None)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Moments.of(score)


def test_adding_adds_every_field() -> None:
    total = counters(Moments.of_hits(17, 11))
    total.add(counters(Moments.of(0.5)))
    serving = total.serving
    assert (serving.requests, serving.errors, serving.not_finite, serving.latency.count) == (82, 10, 14, 2)
    assert total.scored == Moments(18, 11_500_000, 11_250_000)
    assert serving.refused_labels == 6
    assert total.categories == {"cat": 26, "dog": 32}


def test_of_labels_that_were_checked_and_others_each_part_is_known() -> None:
    total = counters(Moments.of_hits(17, 11))
    total.add(Counters(scored=Moments.of_hits(5, 1), unchecked=Moments.of_hits(5, 1)))
    assert (total.scored, total.unchecked, total.checked) == (
        Moments.of_hits(22, 12),
        Moments.of_hits(5, 1),
        Moments.of_hits(17, 11),
    )


def test_of_too_many_classes_the_commonest_keep_their_names_and_none_is_left_out() -> None:
    total, often = Counters(), {f"often{number}": 5 for number in range(MAX_CLASSES - 1)}
    total.add(Counters(categories={f"rare{number}": 1 for number in range(MAX_CLASSES)}))
    assert OTHERS not in total.categories, "as many as there may be"
    total.add(Counters(categories=often | {OTHERS: 7}))
    assert len(total.categories) == MAX_CLASSES + 1
    assert {name: total.categories[name] for name in often} == often
    assert total.categories["rare0"] == 1
    assert total.categories[OTHERS] == 7 + MAX_CLASSES - 1
    total.add(Counters(categories={"often1": 1}))
    assert (len(total.categories), total.categories["often1"]) == (MAX_CLASSES + 1, 6)
    assert sum(total.categories.values()) == MAX_CLASSES + 5 * (MAX_CLASSES - 1) + 7 + 1


def test_a_device_counts_the_first_classes_by_name_and_they_fit_the_wire() -> None:
    counted = Counters()
    for number in (*range(MAX_CLASSES + 5), 3):
        counted.count_category(str(number))
    assert (len(counted.categories), counted.categories["3"], counted.categories[OTHERS]) == (MAX_CLASSES + 1, 2, 5)
    assert decode(TelemetryWindow, encode(WINDOW.with_counters(counted))).predicted == counted.categories
    with pytest.raises(MalformedMessage, match="predicted"):
        received(predicted={str(number): 1 for number in range(MAX_CLASSES + 2)})


def test_every_counter_has_its_place_on_the_wire() -> None:
    """Whoever adds a field to `ServingCounts` or `Counters` adds it to the flat form, too."""
    assert set(COUNTS) | {"latency"} == {one.name for one in fields(ServingCounts)}
    assert set(COUNTS) <= set(TelemetryWindow.model_fields)
    assert set(MOMENTS) | {"serving", "categories"} == {one.name for one in fields(Counters)}
    derived = {"unchecked"}  # from `labels_checked`
    assert set(MOMENTS) == set(NamedMoments.model_fields) | derived
