"""Segments in SQLite."""

from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.store.contract.not_found import no_segment
from edgefleet_controller.store.contract.segments import SegmentRecords
from edgefleet_controller.store.sqlite.database import Database


class SqliteSegments(SegmentRecords):
    """A row per segment."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, segment: SegmentRecord) -> None:
        self._db.put("segments", segment.model_dump())

    def all(self) -> list[SegmentRecord]:
        return [SegmentRecord.model_validate(row) for row in self._db.rows("SELECT * FROM segments ORDER BY name")]

    def remove(self, name: str) -> None:
        if not self._db.execute("DELETE FROM segments WHERE name = ?", [name]):
            raise no_segment(name)

    def get(self, name: str) -> SegmentRecord:
        row = self._db.row("SELECT * FROM segments WHERE name = ?", [name])
        if row is None:
            raise no_segment(name)
        return SegmentRecord.model_validate(row)
