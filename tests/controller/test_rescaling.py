"""Scores by the scale of another version lie where the bounds say, whatever the errors are."""

import random

from edgefleet_compression.measures import measure_named
from edgefleet_controller.records import Evidence
from edgefleet_controller.rescaling import ALIKE, Rescaling, losing, rescaling
from edgefleet_controller.store.contract.evidence import Compared
from edgefleet_controller.store.measures import ModelMeasures
from edgefleet_protocol.moments import Moments


def closeness(errors: list[float], scale: float) -> list[float]:
    return [1 - min(error / scale, 1) for error in errors]


def test_the_score_by_the_older_scale_is_between_the_bounds() -> None:
    chance = random.Random(3)
    for _ in range(200):
        errors = [abs(chance.gauss(0, chance.choice([0.1, 1, 3]))) for _ in range(20)]
        new, old = chance.uniform(0.2, 5), chance.uniform(0.2, 5)
        by = rescaling([new], [old])
        told, true = Moments.of(*closeness(errors, new)), Moments.of(*closeness(errors, old))
        worst, best = (side({"d": told})["d"] for side in (by.at_worst, by.at_best))
        assert worst.is_possible and best.is_possible
        assert (worst.mean or 0) - 1e-5 <= (true.mean or 0) <= (best.mean or 0) + 1e-5


def test_where_nothing_ends_at_one_they_are_exact_in_mean_and_spread() -> None:
    errors = [0.1, 0.2, 0.05, 0.0]
    found, true = losing(Moments.of(*closeness(errors, 2.0)), 4.0), Moments.of(*closeness(errors, 0.5))
    assert abs(found.sum - true.sum) <= 20 and abs(found.sum2 - true.sum2) <= 100


def test_without_scales_or_of_other_numbers_nothing_is_rescaled() -> None:
    assert rescaling((), (1.0,)) == rescaling((1.0,), ()) == rescaling((1.0, 2.0), (1.0,)) == ALIKE
    assert losing(Moments(), 3.0) == Moments()


def test_evidence_is_bounded_by_the_scales_of_all_that_ran_before() -> None:
    scales = {"new": (2.0, 10.0), "old": (1.0, 10.0), "older": (4.0, 10.0)}
    measures = ModelMeasures(measure_named("regression"), {}, scales)

    def of(*before: str) -> Rescaling:
        return measures.of(Evidence("p", {}, {}, {}), Compared("new", frozenset(before), {}, {})).rescaled

    assert of("old") == Rescaling(1.0, 2.0)
    assert of("old", "older") == Rescaling(0.5, 2.0)
    assert of("built before scales were kept") == of() == ALIKE
