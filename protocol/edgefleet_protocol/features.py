"""What either side can do beyond earlier versions, by name; a manifest names the features that it needs.

An older agent ignores unknown fields, so a manifest that relies on a new field would run there without what the field
asks for. Such a manifest names a feature that it needs, and is never assigned to a device that lacks it.
"""

from collections.abc import Collection, Iterable

WINDOWS = "windows"
"""Fetches and switches only inside the windows that `desired` names."""
REDUCED_ANSWERS = "reduced-answers"
"""Tests a variant by a blob of reduced answers to its golden set, which the manifest names."""
CREDIT = "credit"
"""Of a controller: it sends to a device no more at once than the device gives credit for, at the pace that it names."""
CONTROLLER_FEATURES: frozenset[str] = frozenset({CREDIT})
"""The features of this version's controller, which it tells in `hello` and `desired`."""
FEATURES: frozenset[str] = frozenset({WINDOWS, REDUCED_ANSWERS})
"""The features of this version's agent; a device that reports none can do what 0.1.0 can."""


def lacking(needs: Iterable[str], features: Collection[str]) -> tuple[str, ...]:
    """The needed features that are missing, sorted."""
    return tuple(sorted({need for need in needs if need not in features}))
