"""Evidence in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.gathering import ArrivedWindow, EvidenceSnapshot, GatheredEvidence
from edgefleet_controller.store.memory.telemetry_tables import KeptWindow, TelemetryTables, WindowKey
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.latency import LatencyHistogram


class MemoryEvidence(EvidenceSource):
    """Reads a copy of the committed windows."""

    def __init__(self, tables: TelemetryTables) -> None:
        self._tables = tables

    def gather(self, model: str, since_ms: int) -> GatheredEvidence:
        return GatheredEvidence(self.snapshot, model, since_ms)

    @contextmanager
    def snapshot(self) -> Iterator["MemoryEvidenceSnapshot"]:
        """A snapshot of committed data."""
        (windows,) = self._tables.changes.committed(self._tables.windows)
        yield MemoryEvidenceSnapshot(windows)


class MemoryEvidenceSnapshot(EvidenceSnapshot):
    """A copy of the windows."""

    def __init__(self, windows: dict[WindowKey, KeptWindow]) -> None:
        self._windows = windows

    def arrived(self, model: str, since_ms: int) -> Iterator[ArrivedWindow]:
        for (device, incarnation, seq), kept in self._windows.items():
            if kept.stored.window.model == model and kept.stored.received_ms >= since_ms:
                yield _arrived((device, incarnation, seq), kept)

    def labelled(self, model: str, before_ms: int, at_most: int) -> Iterator[ArrivedWindow]:
        found = [
            _arrived((device, incarnation, seq), kept)
            for (device, incarnation, seq), kept in self._windows.items()
            if kept.stored.window.model == model
            and kept.stored.window.named_moments()
            and kept.stored.received_ms < before_ms
        ]
        yield from sorted(found, key=lambda window: window.received_ms, reverse=True)[:at_most]


def _arrived(key: WindowKey, kept: KeptWindow) -> ArrivedWindow:
    window, profile = kept.stored.window, _profile(kept)
    of = (profile, window.variant, window.generation)
    return ArrivedWindow(*key, kept.stored.received_ms, *of, lambda: _counted(window.counters), window.latency)


def _profile(kept: KeptWindow) -> str | None:
    region, hardware, link = kept.place
    return None if region is None or hardware is None or link is None else f"{region}/{hardware}/{link}"


def _counted(counters: Counters) -> Counters:
    """A sum without its histogram and categories."""
    return replace(counters, serving=replace(counters.serving, latency=LatencyHistogram()), categories={})
