"""The fleet at a glance in SQLite."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from edgefleet_contract.devices import DeviceStatus
from edgefleet_controller.store.contract.members import Member, Members
from edgefleet_controller.store.glance import labels_text
from edgefleet_controller.store.sqlite.database import Database

_SELECT = """SELECT d.id, d.region || '/' || d.hardware || '/' || d.link, d.labels, coalesce(m.generation, 0),
    m.variant, m.manifest, d.features, a.profile, n.labels
    FROM devices d LEFT JOIN admissions a ON a.device = d.id LEFT JOIN annotations n ON n.device = d.id
    LEFT JOIN device_models m ON m.device = d.id AND m.model = ?1"""
_STATUS = "(?2 IS NULL OR ?2 = iif(a.device IS NULL, 'pending', 'accepted'))"


class SqliteMembers(Members):
    """Reads columns, never whole reports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(
        self,
        model: str | None = None,
        status: DeviceStatus | None = "accepted",
        *,
        after: str = "",
        at_most: int | None = None,
    ) -> list[Member]:
        sql = f"{_SELECT} WHERE d.id > ?3 AND {_STATUS} ORDER BY d.id LIMIT ?4"
        return _members(self._db.tuples(sql, [model, status, after, -1 if at_most is None else at_most]))

    def some(self, devices: Iterable[str], model: str | None = None) -> list[Member]:
        sql = f"{_SELECT} WHERE a.device IS NOT NULL AND d.id IN (SELECT value FROM json_each(?2))"  # noqa: S608 - ours
        return _members(self._db.tuples(sql, [model, json.dumps(list(devices))]))

    def revision(self) -> int:
        row = self._db.row("SELECT seq FROM temp.sqlite_sequence WHERE name = 'moved'")
        return int(row["seq"]) if row else 0

    def newcomers(self, rollout: str, model: str, since: int | None) -> list[Member]:
        moved = "" if since is None else "AND d.id IN (SELECT device FROM moved WHERE revision > ?3)"
        sql = f"""{_SELECT} WHERE a.device IS NOT NULL {moved}
            AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.rollout = ?2 AND e.device = d.id)"""  # noqa: S608 - ours
        return _members(self._db.tuples(sql, [model, rollout, *([] if since is None else [since])]))

    def given_later(self, devices: Iterable[str], model: str, rollout: str) -> set[str]:
        rows = self._db.tuples(
            """SELECT d.id FROM devices d WHERE d.id IN (SELECT value FROM json_each(?))
               AND json_extract(d.reported, '$.models."' || ? || '".attempt.rollout') > ?""",
            [json.dumps(list(devices)), model, rollout],
        )
        return {device for (device,) in rows}

    def profiles(self) -> list[str]:
        rows = self._db.tuples(
            """SELECT DISTINCT d.region || '/' || d.hardware || '/' || d.link FROM devices d
               JOIN admissions a ON a.device = d.id ORDER BY 1"""
        )
        return [profile for (profile,) in rows]


def _members(rows: Iterable[Sequence[Any]]) -> list[Member]:
    return [_member(*row) for row in rows]


def _member(device: str, profile: str, reported: str, *more: Any) -> Member:
    *rest, given = more
    return Member(device, profile, _merged(reported, given) if given else reported, *rest)


@lru_cache(maxsize=10_000)
def _merged(reported: str, given: str) -> str:
    # Many devices share the same labels.
    return labels_text({**json.loads(reported), **json.loads(given)})
