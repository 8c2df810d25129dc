"""What an agent can do beyond version 0.1.0, by name: a device reports its features, a manifest names those it needs.

An older agent ignores unknown fields, so a manifest that relies on a new field would run there without what the field
asks for. Such a manifest names a feature that it needs, and is never assigned to a device that lacks it.
"""

from collections.abc import Collection, Iterable

WINDOWS = "windows"
"""Fetches and switches only inside the windows that `desired` names."""
REDUCED_ANSWERS = "reduced-answers"
"""Tests a variant by a blob of reduced answers to its golden set, which the manifest names."""
FEATURES: frozenset[str] = frozenset({WINDOWS, REDUCED_ANSWERS})
"""The features of this version's agent; a device that reports none can do what 0.1.0 can."""


def lacking(needs: Iterable[str], features: Collection[str]) -> tuple[str, ...]:
    """The needed features that are missing, sorted."""
    return tuple(sorted({need for need in needs if need not in features}))
