"""References in SQLite."""

import json

from edgefleet_controller.store.contract.references import References
from edgefleet_controller.store.sqlite.database import Database

_IN_PROGRESS = "r.state NOT IN ('completed', 'cancelled', 'rolled_back', 'rollback_incomplete')"
_OF_MODEL = """(SELECT manifest FROM variants WHERE model = ?1 AND version = ?2
    UNION SELECT older_manifest FROM variants WHERE model = ?1 AND version = ?2 AND older_manifest IS NOT NULL)"""


class SqliteReferences(References):
    """Reads across the tables."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def model_files(self) -> set[str]:
        return {name for row in self._db.rows("SELECT files FROM models") for name in json.loads(row["files"]).values()}

    def manifests(self) -> set[str]:
        rows = self._db.rows(
            f"""SELECT manifest FROM variants UNION SELECT older_manifest FROM variants
                UNION SELECT manifest FROM desired
                UNION SELECT e.manifest FROM executions e JOIN rollouts r ON r.id = e.rollout WHERE {_IN_PROGRESS}
                UNION SELECT e.previous_manifest FROM executions e JOIN rollouts r ON r.id = e.rollout
                WHERE {_IN_PROGRESS}
                UNION SELECT e.back_manifest FROM executions e JOIN rollouts r ON r.id = e.rollout
                WHERE {_IN_PROGRESS}"""  # noqa: S608 - our own words
        )
        return {row["manifest"] for row in rows if row["manifest"]}

    def reported_manifests(self) -> set[str]:
        rows = self._db.rows("""SELECT m.value AS model FROM devices d, json_each(d.reported, '$.models') m""")
        found: set[str | None] = set()
        for row in rows:
            model = json.loads(row["model"])
            slots = [*model.get("slots", ()), model.get("answering"), model.get("attempt")]
            found.update(slot.get("manifest") for slot in slots if slot)
        return {name for name in found if name}

    def answers(self) -> set[str]:
        return {row["blob"] for row in self._db.rows("SELECT blob FROM answers")}

    def blobs(self) -> set[str]:
        return {row["sha256"] for row in self._db.rows("SELECT sha256 FROM blobs")}

    def forget_blob(self, sha256: str) -> None:
        self._db.execute("DELETE FROM blobs WHERE sha256 = ?", [sha256])

    def building(self, target: str | None = None) -> bool:
        row = self._db.row("SELECT 1 FROM operations WHERE state = 'running' AND (?1 IS NULL OR target = ?1)", [target])
        return row is not None

    def rollout_of(self, model: str, version: int) -> str | None:
        row = self._db.row(
            f"""SELECT r.id FROM rollouts r WHERE {_IN_PROGRESS}
                AND json_extract(r.spec, '$.model') = ?1 AND (json_extract(r.spec, '$.version') = ?2
                OR EXISTS (SELECT 1 FROM executions e WHERE e.rollout = r.id
                AND (e.previous_manifest IN {_OF_MODEL} OR e.back_manifest IN {_OF_MODEL})))
                ORDER BY r.id""",  # noqa: S608 - our own words
            [model, version],
        )
        return str(row["id"]) if row else None

    def devices_of(self, model: str, version: int) -> list[str]:
        rows = self._db.rows(
            f"SELECT device FROM desired WHERE manifest IN {_OF_MODEL} ORDER BY device",  # noqa: S608 - our own words
            [model, version],
        )
        return [str(row["device"]) for row in rows]

    def remove_model(self, model: str, version: int) -> None:
        with self._db.transaction():
            self._db.execute("DELETE FROM answers WHERE model = ?1 AND (version = ?2 OR asked = ?2)", [model, version])
            self._db.execute("DELETE FROM choices WHERE model = ? AND version = ?", [model, version])
            self._db.execute("DELETE FROM variants WHERE model = ? AND version = ?", [model, version])
            self._db.execute("DELETE FROM models WHERE name = ? AND version = ?", [model, version])
