"""A figure with its interval: plain values, light enough for a device's worker."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and between which bounds it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))) or self.low > self.high:
            raise ValueError(f"an interval is of finite numbers, the lower bound first: {self}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper bound."""
        return self.low, self.high
