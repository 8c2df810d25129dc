"""Telemetry windows: stored once each, acknowledged in order, merged for reading."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from edgefleet_controller.store.database import Database
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

GroupBy = Literal["device", "variant", "model_version", "hardware", "region", "link"]
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)


@dataclass(frozen=True)
class StoredWindow:
    """A window with what the controller knows of its sender."""

    device: str
    window: TelemetryWindow
    facts: Facts | None
    received_ms: int


@dataclass
class Aggregate:
    """Windows merged: counts are summed, histograms are added, percentiles read from the sum."""

    group: dict[str, str | int]
    requests: int = 0
    errors: int = 0
    not_finite: int = 0
    labelled: int = 0
    correct: int = 0
    windows: int = 0
    predicted: Counter[str] = field(default_factory=Counter)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def accuracy(self) -> float | None:
        """The share of labelled answers that were right; None without labels."""
        return self.correct / self.labelled if self.labelled else None


class TelemetryStore:
    """Windows and how far each device's are stored."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, batch: Iterable[StoredWindow]) -> dict[tuple[str, str], int]:
        """Store a batch in one transaction; the highest seq stored without a gap, by (device, incarnation)."""
        oldest: dict[tuple[str, str], int] = {}
        with self._db.transaction():
            for stored in batch:
                self._insert(stored)
                key = (stored.device, stored.window.incarnation)
                oldest[key] = max(oldest.get(key, 0), stored.window.first_kept_seq)
            return {key: self._advance(*key, first_kept) for key, first_kept in oldest.items()}

    def _insert(self, stored: StoredWindow) -> None:
        window, facts = stored.window, stored.facts
        self._db.execute(
            f"INSERT OR IGNORE INTO windows VALUES ({', '.join('?' * 20)})",  # noqa: S608 - only question marks
            [
                *(stored.device, window.incarnation, window.seq, stored.received_ms, window.started_ms),
                *(window.duration_ms, window.model, window.model_version, window.variant, window.generation),
                *((facts.region, facts.hardware, facts.link) if facts else (None, None, None)),
                *(window.requests, window.errors, window.not_finite, window.latency),
                *(window.labelled, window.correct, json.dumps(window.predicted)),
            ],
        )

    def _advance(self, device: str, incarnation: str, first_kept: int) -> int:
        """Move the acknowledgement over what is stored; what the device no longer has never holds it up."""
        row = self._db.row("SELECT through FROM acked WHERE device = ? AND incarnation = ?", [device, incarnation])
        through = max(row["through"] if row else 0, first_kept - 1)
        stored = self._db.rows(
            "SELECT seq FROM windows WHERE device = ? AND incarnation = ? AND seq > ? ORDER BY seq",
            [device, incarnation, through],
        )
        for entry in stored:
            if entry["seq"] != through + 1:
                break
            through += 1
        self._db.put("acked", {"device": device, "incarnation": incarnation, "through": through})
        return through

    def aggregate(
        self,
        group_by: tuple[GroupBy, ...],
        *,
        model: str | None = None,
        version: int | None = None,
        device: str | None = None,
        since_ms: int = 0,
    ) -> list[Aggregate]:
        """Windows merged by the given columns."""
        rows = self._db.rows(
            """SELECT * FROM windows WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR model_version = ?2)
               AND (?3 IS NULL OR device = ?3) AND received_ms >= ?4""",
            [model, version, device, since_ms],
        )
        merged: dict[tuple[object, ...], Aggregate] = {}
        for row in rows:
            key = tuple(row[column] for column in group_by)
            into = merged.setdefault(key, Aggregate({column: row[column] for column in group_by}))
            into.windows += 1
            for count in ("requests", "errors", "not_finite", "labelled", "correct"):
                setattr(into, count, getattr(into, count) + row[count])
            into.predicted.update(json.loads(row["predicted"]))
            if row["latency"]:
                try:
                    into.latency.add(LatencyHistogram.decode(row["latency"]))
                except MalformedMessage:
                    continue
        return [merged[key] for key in sorted(merged, key=str)]

    def forget(self, device: str) -> None:
        """Remove everything that one device reported."""
        with self._db.transaction():
            for table in ("windows", "acked"):
                self._db.execute(f"DELETE FROM {table} WHERE device = ?", [device])  # noqa: S608 - two names of ours

    def count(self, device: str | None = None) -> int:
        """How many windows are stored."""
        row = self._db.row("SELECT count(*) AS n FROM windows WHERE ?1 IS NULL OR device = ?1", [device])
        return int(row["n"]) if row else 0
