"""Marks on the fields of a telemetry window, read by the filter on the device that decides what may leave."""

from dataclasses import dataclass
from typing import Literal

from edgefleet_profiles.parts import DataKind


@dataclass(frozen=True)
class LeavesAs:
    """Marks a field, in `Annotated`: it leaves the device if the region lets this kind leave, or always.

    A field without a mark never leaves.
    """

    kind: DataKind | Literal["always"]


ALWAYS = LeavesAs("always")
"""For what identifies and dates a window: nothing else could be read without it."""
