"""Which figures of a catalogue come from a published source, and which are estimates."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgefleet_profiles.catalogue import PARTS, Catalogue
from edgefleet_profiles.parts import Entry


@dataclass(frozen=True)
class Figure:
    """One figure of one entry, with its source: an address, or the reasoning behind an estimate."""

    part: str
    name: str
    field: str
    value: float
    source: str
    estimated: bool


def figures(catalogue: Catalogue) -> Iterator[Figure]:
    """Every figure of the catalogue, by part, name and field."""
    for part in PARTS:
        entries: dict[str, Entry] = getattr(catalogue, part)
        for name, entry in sorted(entries.items()):
            for field, value in sorted(entry.figures().items()):
                source = entry.sources[field]
                estimated = source.startswith("estimate:")
                yield Figure(part, name, field, value, source.removeprefix("estimate:").strip(), estimated)
