"""Constraints on a score that a model cannot have are refused when it is registered, with what to write instead."""

import pytest

from edgefleet_compression.measures import measure_named
from edgefleet_compression.pricing.unscored import ON_SCORES, unscored
from edgefleet_profiles.profile import Constraints


@pytest.mark.parametrize("task", ["classification", "detection", "regression", "embedding", "outputs"])
@pytest.mark.parametrize("asked", [{}, {"max_disagreement": 0.1}, {"prefer": "score"}, {"delivery_bytes": 9}])
def test_what_is_not_asked_of_scores_suits_every_model(task: str, asked: dict) -> None:
    assert unscored([Constraints(**asked)], measure_named(task), labelled=False) is None


@pytest.mark.parametrize(("task", "labelled"), [("classification", True), ("detection", True), ("regression", True)])
@pytest.mark.parametrize("name", ["min_score", "max_drop"])
def test_a_score_can_be_asked_of_whatever_has_one(task: str, labelled: bool, name: str) -> None:
    assert unscored([Constraints(**{name: 0.5})], measure_named(task), labelled=labelled) is None


@pytest.mark.parametrize(
    ("task", "labelled", "why"),
    [
        ("embedding", True, "single answers of its task have no score"),
        ("outputs", False, "single answers of its task have no score"),
        ("classification", False, "val and test have no labels"),
        ("detection", False, "val and test have no labels"),
    ],
)
@pytest.mark.parametrize("name", ON_SCORES)
def test_no_score_can_be_asked_of_what_has_none(task: str, labelled: bool, why: str, name: str) -> None:
    said = unscored([Constraints(), Constraints(**{name: 0.5})], measure_named(task), labelled=labelled)
    assert said == f"constraints ask for {name}, which no variant can meet, as {why}: ask for max_disagreement"


def test_accuracy_is_asked_of_classifiers_alone() -> None:
    table = [Constraints(min_accuracy=0.9)]
    assert unscored(table, measure_named("classification"), labelled=True) is None
    assert unscored(table, measure_named("detection"), labelled=True) == (
        "constraints ask for min_accuracy, and answers are scored by F1 of boxes: write min_score"
    )
