"""What answers count as, and how sure they are: edges that are found on val, once, for a model version."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from edgefleet_protocol.spec import CATEGORIES, STRATA, Spec

BINS = 16
"""Categories of numbers: each holds a sixteenth of val."""
OTHERS = CATEGORIES - 1
OTHERS_NAME = "(others)"


def quantile_edges(values: Sequence[float], parts: int) -> tuple[float, ...]:
    """Where each part but the first begins, so that all hold as many; none without values."""
    if not len(values):
        return ()
    return tuple(np.quantile(np.asarray(values, np.float64), np.arange(1, parts) / parts).tolist())


def strata_edges(sure: Sequence[float]) -> tuple[float, ...]:
    """The strata of a spec."""
    return quantile_edges(sure, STRATA)


def stratum_of(sure: float, spec: Spec) -> int:
    """The stratum of an answer; 0 if the spec knows none."""
    return bisect_right(spec.strata, sure)


def bin_of(value: float, spec: Spec) -> int:
    """The category of a number."""
    return bisect_right(spec.thresholds, value)


def commonest(classes: Iterable[int]) -> tuple[int, ...]:
    """The classes that are counted by themselves, the commonest first."""
    ordered = sorted(Counter(classes).items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(one for one, _ in ordered[:OTHERS])


def category_of(found: int, spec: Spec) -> int:
    """The category of a class: its place among the commonest of val, or its own number; all others are one."""
    if not spec.commonest:
        return min(found, OTHERS)
    return spec.commonest.index(found) if found in spec.commonest else OTHERS


def class_name(category: int, spec: Spec) -> str:
    """What the category of a class is called: its name, or its number."""
    if category == OTHERS and (spec.commonest or spec.classes >= CATEGORIES or not spec.classes):
        return OTHERS_NAME
    found = spec.commonest[category] if category < len(spec.commonest) else category
    return spec.names[found] if found < len(spec.names) else str(found)


def bin_name(category: int, spec: Spec) -> str:
    """What the category of a number is called."""
    edges = [f"{edge:.4g}" for edge in spec.thresholds]
    if not edges:
        return "any"
    if category == 0:
        return f"below {edges[0]}"
    return f"{edges[category - 1]} to {edges[category]}" if category < len(edges) else f"{edges[-1]} or more"
