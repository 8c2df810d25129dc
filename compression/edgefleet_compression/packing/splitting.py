"""Which split each origin goes to: by seed, or as its folder says; what is alike stays together. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.data import SHARES, SPLITS, SplitName
from edgefleet_compression.packing.origins import SampleOrigin

JUDGED: tuple[SplitName, ...] = ("calib", "val", "test")
"""What every data file must have."""
DRAWN = SHARES["calib"][1] - SHARES["calib"][0]
"""The share of the largest split that one gets which no folder is named for."""


def usual_shares() -> dict[SplitName, float]:
    """The shares of splits that are drawn by seed, as for an npz of `x` alone."""
    return {name: SHARES[name][1] - SHARES[name][0] for name in SPLITS if name in SHARES}


@dataclass(frozen=True)
class SplitPlan:
    """How large each split is, as shares that add up to 1, and the seed by which it is drawn."""

    shares: Mapping[SplitName, float] = field(default_factory=usual_shares)
    seed: int = 0


@dataclass(frozen=True)
class AssignedOrigins:
    """The origins of each split by their places, in the order in which they are packed.

    `drawn` are the splits that were drawn by seed, each with what it was drawn from: None is all.
    """

    places: Mapping[SplitName, Sequence[int]]
    drawn: Mapping[SplitName, SplitName | None]

    def source(self, name: SplitName) -> str | None:
        """What a split was drawn from, "all" or another split; None if it was told."""
        return (self.drawn[name] or "all") if name in self.drawn else None


def assigned(origins: Sequence[SampleOrigin], plan: SplitPlan) -> AssignedOrigins:
    """Give each origin a split.

    Classes are spread evenly over splits, and within them. Where folders say the split, only what they lack of calib,
    val and test is drawn, a fifth of the largest for each.

    Raises:
        DataError: there are too few, or what must stay together is in two splits.
    """
    told = [one for one in origins if one.split is not None]
    if not origins:
        raise DataError("there is nothing to pack: give at least one sample for each split")
    if told and len(told) < len(origins):
        odd = next(one for one in origins if one.split is None)
        raise DataError(f"{odd.name} is in no split, and {told[0].name} is in {told[0].split}: give all one, or none")
    units = _units(origins)
    if told:
        return _completed(origins, units, plan.seed)
    order = _spread(origins, units, plan.seed)
    places = _cut(order, plan.shares, "all that is given")
    return AssignedOrigins(places, dict.fromkeys(places))


def _units(origins: Sequence[SampleOrigin]) -> list[list[int]]:
    """The places of origins that must stay together, each in one list."""
    first: dict[str, int] = {}
    parent = list(range(len(origins)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for place, origin in enumerate(origins):
        for key in origin.keys:
            parent[root(place)] = root(first.setdefault(key, place))
    units = defaultdict(list)
    for place in range(len(origins)):
        units[root(place)].append(place)
    return list(units.values())


def _spread(origins: Sequence[SampleOrigin], units: Iterable[Sequence[int]], seed: int) -> list[Sequence[int]]:
    """Units in an order drawn by seed, in which those of each class are evenly far apart."""
    by_label = defaultdict(list)
    for unit in units:
        by_label[str(origins[unit[0]].label)].append(unit)
    # RandomState, for its stream is frozen: the same files are split alike by every version of numpy.
    random = np.random.RandomState(seed)
    found: list[tuple[float, Sequence[int]]] = []
    for _, alike in sorted(by_label.items()):
        order = random.permutation(len(alike))
        offsets = random.uniform(size=len(alike))
        found += [((n + offsets[n]) / len(alike), alike[place]) for n, place in enumerate(order)]
    return [unit for _, unit in sorted(found, key=lambda one: one[0])]


def _cut(
    order: Sequence[Sequence[int]], shares: Mapping[SplitName, float], source: str
) -> dict[SplitName, Sequence[int]]:
    """Cut an order into splits of these shares; a unit goes where its middle lies."""
    total = sum(map(len, order))
    wanted = [name for name in SPLITS if shares.get(name)]
    ends = np.cumsum([shares[name] for name in wanted]) * total
    found: dict[SplitName, list[int]] = {name: [] for name in wanted}
    begin = 0
    for unit in order:
        middle = begin + len(unit) / 2
        found[wanted[min(int(np.searchsorted(ends, middle)), len(wanted) - 1)]].extend(unit)
        begin += len(unit)
    if empty := [name for name in wanted if not found[name]]:
        alike = "" if len(order) == total else f", which stay together in {len(order)} groups,"
        raise DataError(f"{source}, {total} in number{alike} leaves {empty[0]} empty: give more, or other shares")
    return {**found}


def _completed(origins: Sequence[SampleOrigin], units: Sequence[Sequence[int]], seed: int) -> AssignedOrigins:
    """The splits as told; what is missing is drawn from the largest."""
    parts: dict[SplitName, list[Sequence[int]]] = defaultdict(list)
    for unit in units:
        split = origins[unit[0]].split
        if others := [place for place in unit if origins[place].split != split]:
            one, other = origins[unit[0]], origins[others[0]]
            raise DataError(
                f"{one.name} in {split} and {other.name} in {other.split} are the same, or of one group: "
                "leave them in one of the splits"
            )
        assert split is not None  # all have one
        parts[split].append(unit)
    largest = max(parts, key=lambda name: (sum(map(len, parts[name])), name == "train"))
    missing = [name for name in JUDGED if name not in parts]
    places: dict[SplitName, Sequence[int]] = {}
    for name, found in parts.items():
        order = _spread(origins, found, seed)
        if name != largest or not missing:
            places[name] = [place for unit in order for place in unit]
            continue
        shares = dict.fromkeys(missing, DRAWN)
        places |= _cut(order, {**shares, name: 1 - DRAWN * len(missing)}, f"what is in {name}")
    return AssignedOrigins({name: places[name] for name in SPLITS if name in places}, dict.fromkeys(missing, largest))
