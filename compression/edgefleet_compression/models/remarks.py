"""What data can be used with and tells little: said when a model is added, and refused nowhere. Pure."""

import math

import numpy as np

from edgefleet_compression.models.samples import ArraySplit
from edgefleet_contract.counted import counted

UNSURE_POINTS = 10.0
"""Choices are made on val: known to fewer points than this, its accuracy tells variants apart."""


def remarks_on(val: ArraySplit) -> tuple[str, ...]:
    """What is remarkable about the split that variants are chosen by."""
    return tuple(said for said in (_few(len(val.x)), _one_class(val)) if said)


def _few(samples: int) -> str | None:
    # The half width of a 95 % interval for a share, at its widest.
    points = 100 * 1.96 * 0.5 / math.sqrt(samples)
    if points <= UNSURE_POINTS:
        return None
    enough = math.ceil((100 * 1.96 * 0.5 / UNSURE_POINTS) ** 2)
    return (
        f"val has {counted(samples, 'sample')}, by which accuracy is known to within {points:.0f} points at best: "
        f"variants are chosen by chance with fewer than {enough}"
    )


def _one_class(val: ArraySplit) -> str | None:
    if val.y is None or len(val.y) < 2 or len(np.unique(val.y)) > 1:
        return None
    return f"every sample of val is of class {val.y[0]}: a variant that always answers it looks perfect; add others"
