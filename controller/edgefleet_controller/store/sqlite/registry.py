"""Models, variants, choices and blobs in SQLite."""

import json
from collections.abc import Iterable

from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import AnswersRecord, ChoiceRecord, ManifestForm, ModelRecord, VariantRecord, forms_of
from edgefleet_controller.store.contract.not_found import no_model
from edgefleet_controller.store.contract.registry import ModelRegistry
from edgefleet_controller.store.sqlite.database import Database, unfolded

_JSON = (
    "files",
    "card",
    "reading",
    "instruction_sets",
    "delivery_bytes",
    "metrics",
    "runtime",
    "steps",
    "lineage",
    "needs",
    "golden",
    "scale",
    "reasons",
)


class SqliteRegistry(ModelRegistry):
    """A row per model, variant, choice and blob."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_blob(self, sha256: str, size_bytes: int, *, deliverable: bool) -> None:
        self._db.execute(
            "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET deliverable = deliverable | ?",
            [sha256, size_bytes, deliverable, deliverable],
        )
        reach("blob_known")

    def knows_blob(self, sha256: str) -> bool:
        return self._db.row("SELECT 1 FROM blobs WHERE sha256 = ?", [sha256]) is not None

    def deliverable_bytes(self, sha256: str) -> int | None:
        row = self._db.row("SELECT size_bytes FROM blobs WHERE sha256 = ? AND deliverable", [sha256])
        return row["size_bytes"] if row else None

    def put_model(self, model: ModelRecord) -> None:
        self._db.put("models", model.model_dump(mode="json"))

    def models(self) -> list[ModelRecord]:
        rows = self._db.rows("SELECT * FROM models ORDER BY name, version")
        return [ModelRecord.model_validate(unfolded(row, _JSON)) for row in rows]

    def find_model(self, name: str, version: int) -> ModelRecord | None:
        row = self._db.row("SELECT * FROM models WHERE name = ? AND version = ?", [name, version])
        return ModelRecord.model_validate(unfolded(row, _JSON)) if row else None

    def model(self, name: str, version: int) -> ModelRecord:
        found = self.find_model(name, version)
        if found is None:
            raise no_model(name, version)
        return found

    def put_variants(self, variants: Iterable[VariantRecord], choices: Iterable[ChoiceRecord]) -> None:
        with self._db.transaction():
            for variant in variants:
                self._db.put("variants", variant.model_dump(mode="json"))
            for choice in choices:
                self._db.put("choices", choice.model_dump(mode="json"))

    def put_answers(self, answers: Iterable[AnswersRecord]) -> None:
        with self._db.transaction():
            for one in answers:
                self._db.put("answers", one.model_dump(mode="json"))

    def answers(self, model: str) -> list[AnswersRecord]:
        rows = self._db.rows("SELECT * FROM answers WHERE model = ? ORDER BY version, variant, data", [model])
        return [AnswersRecord.model_validate(dict(row)) for row in rows]

    def variants(self, model: str | None = None, version: int | None = None) -> list[VariantRecord]:
        rows = self._db.rows(
            "SELECT * FROM variants WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR version = ?2) ORDER BY rowid",
            [model, version],
        )
        return [VariantRecord.model_validate(unfolded(row, _JSON)) for row in rows]

    def forms(self, manifests: Iterable[str | None]) -> dict[str, tuple[ManifestForm, ...]]:
        asked = {manifest for manifest in manifests if manifest}
        rows = self._db.rows(
            """WITH asked AS (SELECT value FROM json_each(?))
               SELECT manifest, manifest_bytes, needs, older_manifest, older_manifest_bytes FROM variants
               WHERE manifest IN asked OR older_manifest IN asked ORDER BY rowid""",
            [json.dumps(sorted(asked))],
        )
        found = {}
        for row in rows:
            newest = ManifestForm(row["manifest"], row["manifest_bytes"], tuple(json.loads(row["needs"])))
            forms = forms_of(newest, row["older_manifest"], row["older_manifest_bytes"])
            found.update({form.manifest: forms for form in forms if form.manifest in asked})
        return found

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        rows = self._db.rows("SELECT * FROM choices WHERE model = ? AND version = ? ORDER BY profile", [model, version])
        return [ChoiceRecord.model_validate(unfolded(row, _JSON)) for row in rows]
