"""What an agent can do beyond version 0.1.0, by name: a device reports its features, a manifest names those it needs.

An older agent ignores fields that it does not know, so a manifest whose meaning rests on a new field would run there
without what the field asks for. Such a manifest needs a feature, and no device that lacks it is told of the manifest.
"""

from collections.abc import Collection, Iterable

FEATURES: frozenset[str] = frozenset()
"""Those of this version's agent; a device that reports none has those of 0.1.0."""


def lacking(needs: Iterable[str], features: Collection[str]) -> tuple[str, ...]:
    """The needed features that are not there, in order."""
    return tuple(sorted({need for need in needs if need not in features}))
