"""Scores summed so that adding the sums merges them: plain values, light enough for a device's worker."""

from dataclasses import dataclass

SCALE = 10**6


@dataclass(frozen=True, slots=True)
class Moments:
    """Scores in [0, 1]: how many, their sum and the sum of their squares, both in millionths.

    Each score and each square is rounded to a millionth before it is added, so that sums are exact in any order.
    """

    n: int = 0
    sum: int = 0
    sum2: int = 0

    @classmethod
    def of(cls, *scores: float) -> "Moments":
        """The moments of these scores.

        Raises:
            ValueError: a score is not in [0, 1].
        """
        if not all(0 <= score <= 1 for score in scores):
            raise ValueError(f"scores must be from 0 to 1: {scores}")
        squares = (round(score * score * SCALE) for score in scores)
        return cls(len(scores), sum(round(score * SCALE) for score in scores), sum(squares))

    @classmethod
    def of_hits(cls, n: int, hits: int) -> "Moments":
        """The moments of `n` scores of which `hits` are 1 and the others 0."""
        return cls(n, hits * SCALE, hits * SCALE)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.sum + other.sum, self.sum2 + other.sum2)

    def __sub__(self, part: "Moments") -> "Moments":
        return Moments(self.n - part.n, self.sum - part.sum, self.sum2 - part.sum2)

    def clipped(self, at_most: int) -> "Moments":
        """The moments of at most this many scores, with nearly the same mean and spread."""
        if self.n <= at_most:
            return self
        return Moments(at_most, self.sum * at_most // self.n, self.sum2 * at_most // self.n)

    @property
    def hits(self) -> int:
        """The number of scores of 1 whose sum comes nearest to this one."""
        return (2 * self.sum + SCALE) // (2 * SCALE)

    @property
    def mean(self) -> float | None:
        """The mean score; None without scores."""
        return self.sum / (self.n * SCALE) if self.n else None

    @property
    def variance(self) -> float | None:
        """The mean squared distance from the mean; None without scores."""
        return (self.sum2 * self.n * SCALE - self.sum**2) / (self.n * SCALE) ** 2 if self.n else None

    @property
    def is_possible(self) -> bool:
        """Whether any set of scores could have these moments."""
        if not 0 <= self.sum2 <= self.sum <= self.n * SCALE:
            return False
        # By Cauchy and Schwarz; each score and each square may be half a millionth off.
        return self.sum**2 <= self.n * self.sum2 * SCALE + 2 * self.n**2 * SCALE


NO_SCORES = Moments()
