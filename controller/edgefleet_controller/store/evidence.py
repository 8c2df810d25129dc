"""Evidence for the gate, gathered from telemetry windows: each is read once, however long a rollout takes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgefleet_controller.records import Evidence
from edgefleet_controller.store.columns import from_row, selected, summed
from edgefleet_controller.store.database import Database, Row, Snapshot
from edgefleet_controller.store.merging import HOUR_MS
from edgefleet_protocol.counters import Counters, readable

LATE_MS = 10_000
"""A window may be committed so long after the moment with which it is stamped."""
# The index begins with model and version: which versions there are is read from it, one look-up each.
_SINCE = f"""WITH RECURSIVE versions (n) AS (
    SELECT min(model_version) FROM windows WHERE model = ?1 UNION ALL
    SELECT (SELECT min(model_version) FROM windows WHERE model = ?1 AND model_version > n)
    FROM versions WHERE n IS NOT NULL)
    SELECT device, incarnation, seq, received_ms, region || '/' || hardware || '/' || link AS profile, variant,
    {selected(without=("categories",))}
    FROM versions JOIN windows ON model = ?1 AND model_version = n AND received_ms >= ?2"""  # noqa: S608
_GROUP = "region || '/' || hardware || '/' || link AS profile, variant"
# Windows go after some days; what they held is in the hourly sums, and `rolled` says of which that is so.
_COUNTED = f"region, hardware, link, variant, {selected(without=('latency', 'categories'))}"
_EVER = f"""SELECT {_GROUP}, {summed()} FROM (
    SELECT {_COUNTED} FROM windows WHERE rolled = 0 AND model = ?1
    UNION ALL SELECT {_COUNTED} FROM rollups
    WHERE width_ms = {HOUR_MS} AND model = ?1) GROUP BY 1, 2"""  # noqa: S608 - our own names

Of = tuple[str, str]
"""A profile and a variant."""


@dataclass(frozen=True)
class Compared:
    """The rollout's variant on a profile, the variants that its devices ran before, and the devices that switched."""

    new: str
    before: frozenset[str]
    exposed: frozenset[str]


class Gathering:
    """What is known for one rollout, from every window that has arrived so far.

    A window counts as a control's if its device had not switched when it was read.

    Args:
        db: where windows are kept.
        model: which model.
        since_ms: windows received before that show only what ran before.
    """

    def __init__(self, db: Database, model: str, since_ms: int) -> None:
        self._db, self._model = db, model
        self._since_ms = self._through_ms = since_ms
        self._seen: dict[tuple[str, str, int], int] = {}
        self._new: defaultdict[Of, Counters] = defaultdict(Counters)
        self._control: defaultdict[Of, Counters] = defaultdict(Counters)
        self._ever: defaultdict[Of, Counters] | None = None

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        """Evidence for each of these profiles, by all that has arrived until now."""
        with self._db.snapshot() as snapshot:
            for row in self._arrived(snapshot):
                self._take(row, compared.get(row["profile"]))
            if self._ever is None:
                self._ever = defaultdict(Counters)
                for row in snapshot.rows(_EVER, [self._model]):
                    self._ever[row["profile"], row["variant"]] = from_row(row)
        return [self._evidence(profile, which) for profile, which in sorted(compared.items())]

    def _arrived(self, snapshot: Snapshot) -> Iterator[Row]:
        """Windows that were not there at the last look."""
        from_ms = max(self._since_ms, self._through_ms - LATE_MS)
        for row in snapshot.rows(_SINCE, [self._model, from_ms]):
            key = (row["device"], row["incarnation"], row["seq"])
            self._through_ms = max(self._through_ms, row["received_ms"])
            if key not in self._seen:
                self._seen[key] = row["received_ms"]
                yield row
        self._seen = {key: at for key, at in self._seen.items() if at >= self._through_ms - LATE_MS}

    def _take(self, row: Row, compared: Compared | None) -> None:
        of = (row["profile"], row["variant"])
        # A histogram is most of what a row costs: it is read where latency is compared.
        told = from_row({**row, "latency": None})
        if self._ever is not None:
            self._ever[of].add(told)
        known = self._side(row, compared) if compared else None
        if known is not None:
            known[of].add(told)
            known[of].serving.latency.add(readable(row["latency"]))

    def _side(self, row: Row, compared: Compared) -> defaultdict[Of, Counters] | None:
        """Where a window counts beside what ever ran: as the new variant's, as a control's, or nowhere."""
        if row["variant"] == compared.new:
            return self._new
        is_control = row["variant"] in compared.before and row["device"] not in compared.exposed
        return self._control if is_control else None

    def _evidence(self, profile: str, compared: Compared) -> Evidence:
        before = [(profile, variant) for variant in sorted(compared.before)]
        return Evidence(
            profile,
            new=_merged(self._new, [(profile, compared.new)]),
            before=_merged(self._ever or {}, before),
            control=_merged(self._control, before),
        )


class EvidenceStore:
    """What devices measured, as the gate asks for it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def gather(self, model: str, since_ms: int) -> Gathering:
        """Begin to gather evidence of a model; see `Gathering`."""
        return Gathering(self._db, model, since_ms)

    def of(self, model: str, variants: Mapping[str, Compared], since_ms: int) -> list[Evidence]:
        """Evidence for each profile, read once.

        Args:
            model: which model.
            variants: by profile, what is compared.
            since_ms: when the first device was told to switch.
        """
        return self.gather(model, since_ms).of(variants)


def _merged(known: Mapping[Of, Counters], wanted: list[Of]) -> Counters:
    """One of them as it is, or several in one."""
    found = [known[of] for of in wanted if of in known]
    if len(found) == 1:
        return found[0]
    merged = Counters()
    for one in found:
        merged.add(one)
    return merged
