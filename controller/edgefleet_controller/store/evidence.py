"""Evidence for the gate, read from telemetry windows."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgefleet_controller.records import Evidence, Observed
from edgefleet_controller.store.database import Database, Row
from edgefleet_controller.store.merging import HOUR_MS
from edgefleet_protocol.latency import LatencyHistogram

_COUNTS = ("requests", "errors", "not_finite", "labelled", "correct")


@dataclass(frozen=True)
class Compared:
    """The rollout's variant on a profile, the variants that its devices ran before, and the devices that switched."""

    new: str
    before: frozenset[str]
    exposed: frozenset[str]


class EvidenceStore:
    """What devices measured, as the gate asks for it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, model: str, variants: Mapping[str, Compared], since_ms: int) -> list[Evidence]:
        """Evidence for each profile.

        Args:
            model: which model.
            variants: by profile, what is compared.
            since_ms: when the rollout began.
        """
        return [self._of_profile(model, profile, compared, since_ms) for profile, compared in sorted(variants.items())]

    def _of_profile(self, model: str, profile: str, compared: Compared, since_ms: int) -> Evidence:
        new, control, before = Observed(), Observed(), Observed()
        rows = self._db.rows(
            """SELECT device, variant, requests, errors, not_finite, labelled, correct, latency FROM windows
               WHERE model = ? AND region = ? AND hardware = ? AND link = ? AND received_ms >= ?""",
            [model, *profile.split("/"), since_ms],
        )
        for row in rows:
            if row["variant"] == compared.new:
                _add(new, row)
            elif row["variant"] in compared.before and row["device"] not in compared.exposed:
                _add(control, row)
        marks = ", ".join("?" for _ in compared.before)
        counts = ", ".join(_COUNTS)
        of_profile = f"model = ? AND region = ? AND hardware = ? AND link = ? AND variant IN ({marks})"
        asked = [model, *profile.split("/"), *sorted(compared.before)]
        # Windows go after some days; what they held is in the hourly sums, and `rolled` says of which that is so.
        totals = self._db.rows(
            f"""SELECT {", ".join(f"sum({name}) AS {name}" for name in _COUNTS)}, NULL AS latency FROM (
                SELECT {counts} FROM windows WHERE NOT rolled AND {of_profile} UNION ALL
                SELECT {counts} FROM rollups WHERE width_ms = {HOUR_MS} AND {of_profile}) HAVING count(*) > 0""",  # noqa: S608 - our own names
            [*asked, *asked],
        )
        for row in totals:
            _add(before, row)
        return Evidence(profile, new, before, control)


def _add(into: Observed, row: Row) -> None:
    for name in _COUNTS:
        setattr(into, name, getattr(into, name) + row[name])
    if row["latency"]:
        into.latency.add(LatencyHistogram.decode(row["latency"]))
