"""Explains why a profile gets its variant, and what would have to change for it to get another.

It asks the rule that chooses (choosing.py). For each quantity that the choice may depend on, the values at which a
candidate starts or stops meeting a constraint, or becomes cheaper than another, are known, and nothing changes between
two of them. So one choice is made in each interval, and a flip is where neighbours differ. Nothing is built or
measured.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import get_args

from edgefleet_compression.pricing.choosing import (
    SCORES,
    best_of,
    called,
    choose,
    measure_of,
    nearest_of,
    preferring_what_is_known,
)
from edgefleet_compression.pricing.prices import Candidate
from edgefleet_compression.pricing.quantities import Quantity, quantities_of
from edgefleet_compression.pricing.verdicts import Verdict, judge
from edgefleet_compression.pricing.words import told_quality
from edgefleet_contract.choices import Direction
from edgefleet_contract.measures import MeasureView
from edgefleet_profiles.parts import THIN_LINK_KBPS, Link
from edgefleet_profiles.profile import Constraints, DeviceProfile, Preference

SAME = 1e-6
"""Values that differ by a smaller share are the same: no measurement is more exact."""


@dataclass(frozen=True)
class Situation:
    """Everything a choice depends on.

    `offered` gives the candidates for a link, since what a device downloads depends a little on its chunks.
    """

    profile: DeviceProfile
    constraints: Constraints
    source_score: float | None
    offered: Callable[[Link], Sequence[Candidate]]
    measured_here: frozenset[str] = frozenset()

    def asked(self) -> Constraints:
        """The constraints, preferring agreement if no score is known."""
        return preferring_what_is_known(self.constraints, self.offered(self.profile.link))

    def verdicts(self) -> list[Verdict]:
        """The verdict on each candidate."""
        offered = self.offered(self.profile.link)
        return judge(self.profile, self.asked(), self.source_score, offered, self.measured_here)

    def winner(self) -> Verdict | None:
        """The candidate that the profile gets."""
        return best_of(self.verdicts(), self.asked())

    @property
    def measure(self) -> MeasureView:
        """The measure of the model's task."""
        return measure_of(self.offered(self.profile.link))

    def quantities(self) -> tuple[Quantity, ...]:
        """What the choice may depend on."""
        return quantities_of(self.constraints, self.measure)

    def having(self, quantity: Quantity, value: float) -> "Situation":
        """The situation with another value of one quantity."""
        constraints, profile = self.constraints, self.profile
        if quantity.part == "constraints":
            constraints = constraints.model_copy(update={quantity.name: value})
        else:
            part = getattr(profile, quantity.part).model_copy(update={quantity.name: value})
            profile = profile.model_copy(update={quantity.part: part})
        return Situation(profile, constraints, self.source_score, self.offered, self.measured_here)


@dataclass(frozen=True)
class Flip:
    """Beyond `at`, up to the next flip in this direction, `winner` is chosen; None means nothing is.

    `now` is the quantity's value, None if it is not constrained; both are in `unit`.
    """

    quantity: str
    unit: str
    now: float | None
    direction: Direction
    at: float
    winner: Candidate | None
    sentence: str


@dataclass(frozen=True)
class Explanation:
    """A choice, its reasons, and what would change it.

    `runner_up` is what the profile would get without the winner; if nothing else meets everything, what misses least.
    `rejected` are those that break a constraint; `reasons` has a sentence for each candidate. `preferences` maps each
    other preference to what it would choose.
    """

    situation: Situation
    winner: Verdict | None
    runner_up: Verdict | None
    rejected: tuple[Verdict, ...]
    reasons: dict[str, str]
    flips: tuple[Flip, ...]
    preferences: dict[Preference, Candidate | None]


def explain(situation: Situation) -> Explanation:
    """Say which candidate wins, which comes second, why the others are rejected, and what would flip the choice."""
    asked, verdicts, winner = situation.asked(), situation.verdicts(), situation.winner()
    rest = [v for v in verdicts if winner is None or v.candidate != winner.candidate]
    choice = choose(
        situation.profile,
        situation.constraints,
        situation.source_score,
        situation.offered(situation.profile.link),
        measured_here=situation.measured_here,
    )
    return Explanation(
        situation=situation,
        winner=winner,
        runner_up=(best_of(rest, asked) or nearest_of(rest)) if rest else None,
        rejected=tuple(v for v in verdicts if v.broken),
        reasons=choice.reasons,
        flips=tuple(flip for quantity in situation.quantities() for flip in flips(situation, quantity)),
        preferences=_by_preference(situation),
    )


def flips(situation: Situation, quantity: Quantity) -> Iterator[Flip]:
    """Every change of the choice as one quantity rises, then as it falls, the nearest first.

    Args:
        situation: what the choice depends on; everything else in it stays.
        quantity: what changes.
    """
    now = quantity.value(situation.profile, situation.constraints)
    if now is None and quantity.off is None:
        return
    start = quantity.off if now is None else now
    assert start is not None
    edges = _edges(situation, quantity)
    up = [start, *(e for e in edges if e > start * (1 + SAME)), quantity.most]
    down = [start, *(e for e in reversed(edges) if e < start * (1 - SAME)), quantity.least]
    ways: tuple[tuple[Direction, list[float]], ...] = (("above", up), ("below", down))
    for direction, bounds in ways:
        last = _candidate(situation.winner())
        for a, b in pairwise(bounds):
            if a == b:
                continue
            found = _candidate(situation.having(quantity, _between(a, b)).winner())
            if _variant(found) != _variant(last):
                sentence = _sentence(direction, quantity, a, found)
                yield Flip(quantity.name, quantity.unit, now, direction, a, found, sentence)
            last = found


def _edges(situation: Situation, quantity: Quantity) -> list[float]:
    """The values at which a candidate starts or stops meeting a constraint, or becomes cheaper than another, in order.

    Near duplicates count once.
    """
    link = situation.profile.link
    thin, thick = (link.model_copy(update={"down_kbps": kbps}) for kbps in (THIN_LINK_KBPS / 2, THIN_LINK_KBPS))
    found = [float(THIN_LINK_KBPS)] if quantity.name == "down_kbps" else []
    for candidate in {*situation.offered(thin), *situation.offered(thick)}:
        here = candidate.variant in situation.measured_here
        edge = quantity.edge(situation.profile, situation.constraints, situation.source_score, candidate, here)
        if edge is not None and quantity.least < edge < quantity.most:
            found.append(edge)
    found += [edge for edge in _crossings(situation, quantity) if quantity.least < edge < quantity.most]
    found.sort()
    return [edge for i, edge in enumerate(found) if not i or edge > found[i - 1] * (1 + SAME)]


def _crossings(situation: Situation, quantity: Quantity) -> Iterator[float]:
    """The values at which two candidates cost the same a month, if that decides."""
    if situation.asked().prefer != "usd_per_month" or not quantity.paid:
        return
    at_1, at_2 = (situation.having(quantity, value).verdicts() for value in (1.0, 2.0))
    lines = []
    for one, two in zip(at_1, at_2, strict=True):
        usd_1, usd_2 = one.price.total_usd_per_month, two.price.total_usd_per_month
        if usd_1 is not None and usd_2 is not None:
            lines.append((usd_2 - usd_1, 2 * usd_1 - usd_2))
    for (slope, usd), (other_slope, other_usd) in combinations(lines, 2):
        if slope != other_slope:
            yield (other_usd - usd) / (slope - other_slope)


def _between(a: float, b: float) -> float:
    low, high = min(a, b), max(a, b)
    if math.isinf(high):
        return low * 2 or 1.0
    return (low + high) / 2


def _candidate(verdict: Verdict | None) -> Candidate | None:
    return verdict.candidate if verdict else None


def _variant(candidate: Candidate | None) -> str | None:
    return candidate.variant if candidate else None


def _sentence(direction: str, quantity: Quantity, at: float, winner: Candidate | None) -> str:
    value = f"{direction} {quantity.shown(at, up=direction == 'above')}"
    return f"{value}, {'nothing meets everything' if winner is None else f'{named(winner)} wins'}"


def named(candidate: Candidate) -> str:
    """`the 91.8 % variant student-w5`."""
    told = told_quality(candidate.metrics)
    return f"the {told} variant {candidate.recipe}" if told else candidate.recipe


def _by_preference(situation: Situation) -> dict[Preference, Candidate | None]:
    found = {}
    score = called(situation.measure)
    for prefer in get_args(Preference):
        if prefer != situation.asked().prefer and (prefer not in SCORES or prefer == score):
            constraints = situation.constraints.model_copy(update={"prefer": prefer})
            other = Situation(
                situation.profile, constraints, situation.source_score, situation.offered, situation.measured_here
            )
            found[prefer] = _candidate(other.winner())
    return found
