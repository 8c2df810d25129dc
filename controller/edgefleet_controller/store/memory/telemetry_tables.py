"""The tables of the telemetry store in memory."""

from typing import NamedTuple

from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.memory.tables import Changes, Table
from edgefleet_controller.store.merging import RollupKey
from edgefleet_protocol.counters import Counters

WindowKey = tuple[str, str, int]
"""Device, incarnation and seq."""
Place = tuple[str | None, str | None, str | None]
"""Region, hardware and link."""


class KeptWindow(NamedTuple):
    """A window, its sender's profile, and whether it is in a roll-up."""

    stored: StoredWindow
    place: Place
    rolled: bool


class Acknowledged(NamedTuple):
    """How far an incarnation's windows are stored and deleted, and how many were lost."""

    through: int = 0
    forgotten: int = 0
    lost: int = 0


class Rollup(NamedTuple):
    """The number of windows in a roll-up, and their sum."""

    windows: int
    counters: Counters


class TelemetryTables:
    """The tables that the nouns of a telemetry store share."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.windows: Table[WindowKey, KeptWindow] = Table(changes, device=lambda key: key[0])
        self.acknowledged: Table[tuple[str, str], Acknowledged] = Table(changes, device=lambda key: key[0])
        self.rollups: Table[RollupKey, Rollup] = Table(changes)
        self.kept_from_ms: Table[None, int] = Table(changes)
