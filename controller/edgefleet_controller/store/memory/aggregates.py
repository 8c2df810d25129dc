"""Windows and roll-ups in memory, read together."""

from collections.abc import Iterator

from edgefleet_controller.store.contract.aggregates import Aggregate, Aggregates, Origin, Question
from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS
from edgefleet_controller.store.memory.telemetry_tables import KeptWindow, Rollup, TelemetryTables, WindowKey
from edgefleet_controller.store.merging import Measured, Merger, RollupKey, Span, spans_of

_WIDTHS = {"hours": HOUR_MS, "days": DAY_MS}


class MemoryAggregates(Aggregates):
    """Reads copies of the committed tables."""

    def __init__(self, tables: TelemetryTables) -> None:
        self._tables = tables

    def answer(self, question: Question) -> list[Aggregate]:
        tables = self._tables
        windows, rollups, kept = tables.changes.committed(tables.windows, tables.rollups, tables.kept_from_ms)
        merger = Merger(question)
        for span in spans_of(question, kept.get(None, 0)):
            found = _rollups(rollups, span) if span.kind in _WIDTHS else _windows(windows, span)
            for measured in found:
                if _is_asked_for(question, measured):
                    merger.add(measured)
        return merger.merged()

    def windows_from_ms(self) -> int:
        with self._tables.changes.turn:
            return self._tables.kept_from_ms.get(None) or 0

    def extent(self) -> tuple[int, int]:
        with self._tables.changes.turn:
            measured = [kept.stored.at_ms for _, kept in self._tables.windows.items()]
            hours = [key.start_ms for key, _ in self._tables.rollups.items() if key.width_ms == HOUR_MS]
        if not measured and not hours:
            return (0, -1)
        return min([*measured, *hours]), max([*measured, *(start_ms + HOUR_MS - 1 for start_ms in hours)])


def _windows(windows: dict[WindowKey, KeptWindow], span: Span) -> Iterator[Measured]:
    for (device, _, _), kept in windows.items():
        if kept.rolled is (span.kind == "rolled") and span.since_ms <= kept.stored.at_ms < span.until_ms:
            yield _measured(device, kept)


def _measured(device: str, kept: KeptWindow) -> Measured:
    window, origin = kept.stored.window, Origin(device, *kept.place)
    of = (window.model, window.model_version, window.variant, kept.stored.at_ms)
    return Measured(origin, *of, 1, lambda: window.counters)


def _rollups(rollups: dict[RollupKey, Rollup], span: Span) -> Iterator[Measured]:
    for key, rollup in rollups.items():
        if key.width_ms == _WIDTHS[span.kind] and span.since_ms <= key.start_ms < span.until_ms:
            yield _summed(key, rollup)


def _summed(key: RollupKey, rollup: Rollup) -> Measured:
    origin = Origin(None, key.region or None, key.hardware or None, key.link or None)
    return Measured(
        origin, key.model, key.model_version, key.variant, key.start_ms, rollup.windows, lambda: rollup.counters
    )


def _is_asked_for(question: Question, measured: Measured) -> bool:
    return (
        question.model in (None, measured.model)
        and question.version in (None, measured.model_version)
        and question.device in (None, measured.origin.device)
    )
