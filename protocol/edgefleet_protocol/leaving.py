"""What a field of a telemetry window is declared as, for the filter on the device that decides what may leave."""

from dataclasses import dataclass
from typing import Literal

from edgefleet_profiles.parts import DataKind


@dataclass(frozen=True)
class LeavesAs:
    """Marks a field, in `Annotated`: it leaves the device where the region lets this kind leave, or always.

    A field without a mark never leaves.
    """

    kind: DataKind | Literal["always"]


ALWAYS = LeavesAs("always")
"""Which window it is, and when: without it nothing else could be read."""
