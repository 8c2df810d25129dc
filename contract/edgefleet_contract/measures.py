"""What figures are called, what they count, and which way they are better, as the task of a model says."""

from typing import Literal

from edgefleet_contract.base import Shape


class MeasureView(Shape):
    """A measure: its name, the unit of its figures, and which way they are better.

    A figure whose unit is `share` is from 0 to 1 and shown in per cent. Single answers are only scored by their labels
    if it is `scored`; otherwise variants are compared by their agreement with the source model.
    """

    name: str
    unit: str = "share"
    better: Literal["higher", "lower"] = "higher"
    scored: bool = True

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of right answers, which fields and settings named after accuracy speak of."""
        return self.name == "accuracy"


ACCURACY = MeasureView(name="accuracy")
UNKNOWN = MeasureView(name="score")
"""Of a task that nothing here knows, as when its plug-in is gone."""
