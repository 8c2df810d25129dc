"""Constraints on a score that a model cannot have: no variant would meet them. Pure."""

from collections.abc import Iterable

from edgefleet_contract.measures import MeasureView
from edgefleet_profiles.profile import Constraints

ON_SCORES = ("min_accuracy", "min_score", "max_drop")


def unscored(table: Iterable[Constraints], measure: MeasureView, *, labelled: bool) -> str | None:
    """Why a card's constraints cannot be met, whatever is built, and what to write instead; None if they can.

    Args:
        table: the constraints.
        measure: of the model's task.
        labelled: whether val and test have labels.
    """
    asked = {name for entry in table for name in ON_SCORES if getattr(entry, name) is not None}
    if not asked:
        return None
    if not (measure.scored and labelled):
        why = "val and test have no labels" if measure.scored else "single answers of its task have no score"
        named = " and ".join(name for name in ON_SCORES if name in asked)
        return f"constraints ask for {named}, which no variant can meet, as {why}: ask for max_disagreement"
    if "min_accuracy" in asked and not measure.is_accuracy:
        return f"constraints ask for min_accuracy, and answers are scored by {measure.name}: write min_score"
    return None
