"""Annotations in SQLite."""

import json

from edgefleet_controller.records import Annotation
from edgefleet_controller.store.contract.annotations import Annotations
from edgefleet_controller.store.sqlite.database import Database


class SqliteAnnotations(Annotations):
    """A row per device that something is written on."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, device: str) -> Annotation:
        row = self._db.row("SELECT labels, note FROM annotations WHERE device = ?", [device])
        return Annotation(labels=json.loads(row["labels"]), note=row["note"]) if row else Annotation()

    def put(self, device: str, annotation: Annotation) -> None:
        self._db.put("annotations", {"device": device, **annotation.model_dump()})
