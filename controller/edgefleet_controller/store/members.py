"""The fleet at a glance: of every device just what a selector and a plan ask, and who has appeared since."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from edgefleet_contract.devices import DeviceStatus
from edgefleet_controller.store.database import Database

_SELECT = """SELECT d.id, d.region || '/' || d.hardware || '/' || d.link, d.labels, coalesce(m.generation, 0),
    m.variant, m.manifest, d.features
    FROM devices d LEFT JOIN admissions a ON a.device = d.id
    LEFT JOIN device_models m ON m.device = d.id AND m.model = ?1"""
_STATUS = "(?2 IS NULL OR ?2 = iif(a.device IS NULL, 'pending', 'accepted'))"


class Member(NamedTuple):
    """A device as selectors and plans see it; `generation`, `variant` and `manifest` are what answers of one model.

    `labels` are the device's own, `features` what its agent can do beyond 0.1.0.
    """

    id: str
    profile: str
    labels_json: str
    generation: int
    variant: str | None
    manifest: str | None
    features_json: str

    @property
    def labels(self) -> Mapping[str, str]:
        """The device's own labels."""
        return _labels(self.labels_json)

    @property
    def features(self) -> frozenset[str]:
        """What its agent can do beyond 0.1.0."""
        return _features(self.features_json)


class MemberStore:
    """Reads columns, never reports."""

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
        """Devices of one status, or of any, by id.

        Args:
            model: whose answering variant is wanted.
            status: None for every device.
            after: only devices whose ids come after this one.
            at_most: how many; None for all of them.
        """
        sql = f"{_SELECT} WHERE d.id > ?3 AND {_STATUS} ORDER BY d.id LIMIT ?4"
        return _members(self._db.tuples(sql, [model, status, after, -1 if at_most is None else at_most]))

    def some(self, devices: Iterable[str], model: str | None = None) -> list[Member]:
        """Those of these devices that belong to the fleet and have reported."""
        sql = f"{_SELECT} WHERE a.device IS NOT NULL AND d.id IN (SELECT value FROM json_each(?2))"  # noqa: S608 - ours
        return _members(self._db.tuples(sql, [model, json.dumps(list(devices))]))

    def revision(self) -> int:
        """What has moved so far has at most this revision; it only grows while the store is open."""
        row = self._db.row("SELECT seq FROM temp.sqlite_sequence WHERE name = 'moved'")
        return int(row["seq"]) if row else 0

    def newcomers(self, rollout: str, model: str, since: int | None) -> list[Member]:
        """Devices of the fleet that a rollout has no execution for.

        Args:
            rollout: which one.
            model: whose answering variant is wanted.
            since: only those that have come, or were labelled or accepted, after this revision; None for all.
        """
        moved = "" if since is None else "AND d.id IN (SELECT device FROM moved WHERE revision > ?3)"
        sql = f"""{_SELECT} WHERE a.device IS NOT NULL {moved}
            AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.rollout = ?2 AND e.device = d.id)"""  # noqa: S608 - ours
        return _members(self._db.tuples(sql, [model, rollout, *([] if since is None else [since])]))

    def given_later(self, devices: Iterable[str], model: str, rollout: str) -> set[str]:
        """Those of these devices whose last attempt at a model was for a rollout that began after this one."""
        rows = self._db.tuples(
            """SELECT d.id FROM devices d WHERE d.id IN (SELECT value FROM json_each(?))
               AND json_extract(d.reported, '$.models."' || ? || '".attempt.rollout') > ?""",
            [json.dumps(list(devices)), model, rollout],
        )
        return {device for (device,) in rows}

    def profiles(self) -> list[str]:
        """Every profile that a device of the fleet has."""
        rows = self._db.tuples(
            """SELECT DISTINCT d.region || '/' || d.hardware || '/' || d.link FROM devices d
               JOIN admissions a ON a.device = d.id ORDER BY 1"""
        )
        return [profile for (profile,) in rows]


@lru_cache(maxsize=10_000)
def _labels(text: str) -> Mapping[str, str]:
    # Whole groups of devices have the same ones.
    return MappingProxyType(json.loads(text))


@lru_cache(maxsize=1_000)
def _features(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))


def _members(rows: Iterable[Sequence[Any]]) -> list[Member]:
    return list(map(Member._make, rows))
