"""How choices speak of how well a variant answers: in the words of its task's measure, or as agreement. Pure."""

from edgefleet_contract.measures import MeasureView
from edgefleet_contract.metrics import Metrics

AGREEMENT = " agreement"


def percent(share: float) -> str:
    """A share in per cent with one decimal, or two if the second is not zero."""
    return f"{share * 100:.2f}".removesuffix("0") + " %"


def scored(share: float, measure: MeasureView) -> str:
    """`91.8 % right`, or `91.8 % F1 of boxes`."""
    return f"{percent(share)} {'right' if measure.is_accuracy else measure.name}"


def kind(measure: MeasureView) -> str:
    """What follows a score that is compared with others; nothing after a share of right answers."""
    return "" if measure.is_accuracy else f" {measure.name}"


def highest(measure: MeasureView) -> str:
    """`most accurate`, or `highest F1 of boxes`."""
    return "most accurate" if measure.is_accuracy else f"highest {measure.name}"


def not_scored(measure: MeasureView) -> str:
    """Why there is no score."""
    return f"{measure.name} not measured" if measure.scored else "single answers have no score"


def quality(metrics: Metrics) -> float | None:
    """The score on val, or without one the agreement with the source model."""
    return metrics.agreement_val if metrics.score_val is None else metrics.score_val


def told_quality(metrics: Metrics) -> str | None:
    """The quality with what it is, such as `91.8 %`, `91.8 % F1 of boxes` or `99 % agreement`; None if unknown."""
    share = quality(metrics)
    if share is None:
        return None
    return percent(share) + (AGREEMENT if metrics.score_val is None else kind(metrics.measure))
