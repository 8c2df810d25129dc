"""Models, variants, choices, blobs and operations."""

import json
from collections.abc import Iterable
from typing import Any

from edgefleet_contract.operations import OperationRecord
from edgefleet_controller.errors import NotFound
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import ChoiceRecord, ModelRecord, VariantRecord
from edgefleet_controller.store.database import Database, Row

_JSON = (
    "files",
    "card",
    "instruction_sets",
    "delivery_bytes",
    "metrics",
    "runtime",
    "steps",
    "lineage",
    "needs",
    "reasons",
)
_OPERATION_JSON = ("progress", "result")


def _unfold(row: Row, columns: Iterable[str]) -> dict[str, Any]:
    return {k: json.loads(v) if k in columns and v is not None else v for k, v in row.items()}


class RegistryStore:
    """What was registered and built."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_blob(self, sha256: str, size_bytes: int, *, deliverable: bool) -> None:
        """Remember a blob; one that devices may ask for stays so."""
        self._db.execute(
            "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET deliverable = deliverable | ?",
            [sha256, size_bytes, deliverable, deliverable],
        )
        reach("blob_known")

    def knows_blob(self, sha256: str) -> bool:
        """Whether a blob is written down."""
        return self._db.row("SELECT 1 FROM blobs WHERE sha256 = ?", [sha256]) is not None

    def deliverable_bytes(self, sha256: str) -> int | None:
        """The size of a blob that devices may ask for; None for every other one."""
        row = self._db.row("SELECT size_bytes FROM blobs WHERE sha256 = ? AND deliverable", [sha256])
        return row["size_bytes"] if row else None

    def put_model(self, model: ModelRecord) -> None:
        """Register a model version."""
        self._db.put("models", model.model_dump(mode="json"))

    def models(self) -> list[ModelRecord]:
        """All model versions, by name and version."""
        rows = self._db.rows("SELECT * FROM models ORDER BY name, version")
        return [ModelRecord.model_validate(_unfold(row, _JSON)) for row in rows]

    def find_model(self, name: str, version: int) -> ModelRecord | None:
        """A model version, if it is registered."""
        row = self._db.row("SELECT * FROM models WHERE name = ? AND version = ?", [name, version])
        return ModelRecord.model_validate(_unfold(row, _JSON)) if row else None

    def model(self, name: str, version: int) -> ModelRecord:
        """A model version.

        Raises:
            NotFound: it is not registered.
        """
        found = self.find_model(name, version)
        if found is None:
            raise NotFound(f"no model {name}@{version}: register it, or see the list of models")
        return found

    def put_variants(self, variants: Iterable[VariantRecord], choices: Iterable[ChoiceRecord]) -> None:
        """Publish variants together with what was chosen among them."""
        with self._db.transaction():
            for variant in variants:
                self._db.put("variants", variant.model_dump(mode="json"))
            for choice in choices:
                self._db.put("choices", choice.model_dump(mode="json"))

    def variants(self, model: str | None = None, version: int | None = None) -> list[VariantRecord]:
        """Variants in the order in which they were built, of one model version or of all."""
        rows = self._db.rows(
            "SELECT * FROM variants WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR version = ?2) ORDER BY rowid",
            [model, version],
        )
        return [VariantRecord.model_validate(_unfold(row, _JSON)) for row in rows]

    def needs(self, manifests: Iterable[str | None]) -> dict[str, tuple[str, ...]]:
        """The features that these manifests need, of those that need any."""
        rows = self._db.rows(
            """SELECT manifest, needs FROM variants
               WHERE needs != '[]' AND manifest IN (SELECT value FROM json_each(?))""",
            [json.dumps([manifest for manifest in manifests if manifest])],
        )
        return {row["manifest"]: tuple(json.loads(row["needs"])) for row in rows}

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        """What was chosen for each profile."""
        rows = self._db.rows("SELECT * FROM choices WHERE model = ? AND version = ? ORDER BY profile", [model, version])
        return [ChoiceRecord.model_validate(_unfold(row, _JSON)) for row in rows]

    def put_operation(self, operation: OperationRecord) -> None:
        """Remember how far long work is."""
        self._db.put("operations", operation.model_dump(mode="json"))

    def operation(self, operation_id: str) -> OperationRecord:
        """Long work by its id.

        Raises:
            NotFound: there is no such operation.
        """
        row = self._db.row("SELECT * FROM operations WHERE id = ?", [operation_id])
        if row is None:
            raise NotFound(f"no operation {operation_id}")
        return OperationRecord.model_validate(_unfold(row, _OPERATION_JSON))

    def operations(self) -> list[OperationRecord]:
        """All operations, the newest last."""
        rows = self._db.rows("SELECT * FROM operations ORDER BY id")
        return [OperationRecord.model_validate(_unfold(row, _OPERATION_JSON)) for row in rows]
