"""Variants that answer as well as somebody who guesses are said to."""

from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.cli.guessing import guessing


def variant(
    score: float | None, low: float, high: float, recipe: str = "fp32", measure: MeasureView = ACCURACY
) -> VariantView:
    ci = None if score is None else (low, high)
    return VariantView.model_construct(recipe=recipe, measure=measure, score=score, score_ci=ci, test_samples=200)


def test_shuffled_labels_are_noticed_by_the_best_variant() -> None:
    said = guessing([variant(0.09, 0.06, 0.14), variant(0.11, 0.07, 0.16, "int8")], 10)
    assert said is not None
    assert "int8 is right on 11.0 % of 200 samples of test, and guessing on 10.0 %" in said


def test_what_is_better_or_cannot_be_known_is_not_remarked() -> None:
    assert guessing([variant(0.09, 0.06, 0.14), variant(0.9, 0.85, 0.93, "int8")], 10) is None
    assert guessing([variant(0.6, 0.52, 0.67)], 2) is None
    assert guessing([variant(0.55, 0.48, 0.62)], 2) is not None
    assert guessing([variant(None, 0, 0)], 10) is None
    assert guessing([], 10) is None
    assert guessing([variant(1.0, 0.98, 1.0)], 1) is None
    assert guessing([variant(0.09, 0.06, 0.14, measure=MeasureView(name="F1 of boxes"))], 10) is None
