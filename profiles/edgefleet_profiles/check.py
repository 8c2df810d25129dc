"""Which figures of a catalogue come from a published source, and which are estimates."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgefleet_profiles.catalogue import PARTS, Catalogue
from edgefleet_profiles.description import described_only
from edgefleet_profiles.parts import Entry


@dataclass(frozen=True)
class Figure:
    """One figure of one entry, with its source: an address, or the reasoning behind an estimate.

    `description_only` says why nothing is decided by it; None if something is.
    """

    part: str
    name: str
    field: str
    value: float
    source: str
    estimated: bool
    description_only: str | None = None


def figures(catalogue: Catalogue) -> Iterator[Figure]:
    """Every figure of the catalogue, by part, name and field."""
    for part in PARTS:
        entries: dict[str, Entry] = getattr(catalogue, part)
        for name, entry in sorted(entries.items()):
            for field, value in sorted(entry.figures().items()):
                source = entry.sources[field]
                estimated = source.startswith("estimate:")
                source = source.removeprefix("estimate:").strip()
                yield Figure(part, name, field, value, source, estimated, described_only(type(entry)).get(field))
