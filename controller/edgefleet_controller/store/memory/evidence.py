"""Evidence in memory."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.gathering import ArrivedWindow, EvidenceSnapshot, GatheredEvidence, Of
from edgefleet_controller.store.memory.telemetry_tables import KeptWindow, Rollup, TelemetryTables, WindowKey
from edgefleet_controller.store.merging import RollupKey
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.latency import LatencyHistogram


class MemoryEvidence(EvidenceSource):
    """Reads copies of the committed tables."""

    def __init__(self, tables: TelemetryTables) -> None:
        self._tables = tables

    def gather(self, model: str, since_ms: int) -> GatheredEvidence:
        return GatheredEvidence(self.snapshot, model, since_ms)

    @contextmanager
    def snapshot(self) -> Iterator["MemoryEvidenceSnapshot"]:
        """A snapshot of committed data."""
        windows, rollups = self._tables.changes.committed(self._tables.windows, self._tables.rollups)
        yield MemoryEvidenceSnapshot(windows, rollups)


class MemoryEvidenceSnapshot(EvidenceSnapshot):
    """Copies of the two tables."""

    def __init__(self, windows: dict[WindowKey, KeptWindow], rollups: dict[RollupKey, Rollup]) -> None:
        self._windows, self._rollups = windows, rollups

    def arrived(self, model: str, since_ms: int) -> Iterator[ArrivedWindow]:
        for (device, incarnation, seq), kept in self._windows.items():
            if kept.stored.window.model == model and kept.stored.received_ms >= since_ms:
                yield _arrived((device, incarnation, seq), kept)

    def ever(self, model: str) -> dict[Of, Counters]:
        found: defaultdict[Of, Counters] = defaultdict(Counters)
        for kept in self._windows.values():
            window = kept.stored.window
            if window.model == model and not kept.rolled:
                found[_profile(kept), window.variant].add(_counted(window.counters))
        for key, rollup in self._rollups.items():
            if key.model == model and key.width_ms == HOUR_MS:
                profile = f"{key.region}/{key.hardware}/{key.link}"
                found[profile, key.variant].add(_counted(rollup.counters))
        return found


def _arrived(key: WindowKey, kept: KeptWindow) -> ArrivedWindow:
    window = kept.stored.window
    of = (kept.stored.received_ms, _profile(kept), window.variant)
    return ArrivedWindow(*key, *of, lambda: _counted(window.counters), window.latency)


def _profile(kept: KeptWindow) -> str | None:
    region, hardware, link = kept.place
    return None if region is None or hardware is None or link is None else f"{region}/{hardware}/{link}"


def _counted(counters: Counters) -> Counters:
    """A sum without its histogram and categories."""
    return replace(counters, serving=replace(counters.serving, latency=LatencyHistogram()), categories={})
