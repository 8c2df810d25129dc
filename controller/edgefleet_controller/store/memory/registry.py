"""Models, variants, choices and blobs in memory."""

from collections.abc import Iterable
from operator import itemgetter

from edgefleet_controller.records import AnswersRecord, ChoiceRecord, ManifestForm, ModelRecord, VariantRecord
from edgefleet_controller.store.contract.not_found import no_model
from edgefleet_controller.store.contract.registry import ModelRegistry
from edgefleet_controller.store.memory.fleet_tables import Blob, FleetTables


class MemoryRegistry(ModelRegistry):
    """Variants are numbered in the order they were put."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put_blob(self, sha256: str, size_bytes: int, *, deliverable: bool) -> None:
        with self._tables.changes.turn:
            known = self._tables.blobs.get(sha256) or Blob(size_bytes, deliverable)
            self._tables.blobs.put(sha256, known._replace(deliverable=known.deliverable or deliverable))

    def knows_blob(self, sha256: str) -> bool:
        with self._tables.changes.turn:
            return sha256 in self._tables.blobs

    def deliverable_bytes(self, sha256: str) -> int | None:
        with self._tables.changes.turn:
            known = self._tables.blobs.get(sha256)
        return known.size_bytes if known and known.deliverable else None

    def put_model(self, model: ModelRecord) -> None:
        with self._tables.changes.turn:
            self._tables.models.put((model.name, model.version), model)

    def models(self) -> list[ModelRecord]:
        with self._tables.changes.turn:
            return self._tables.models.by_key()

    def find_model(self, name: str, version: int) -> ModelRecord | None:
        with self._tables.changes.turn:
            return self._tables.models.get((name, version))

    def model(self, name: str, version: int) -> ModelRecord:
        found = self.find_model(name, version)
        if found is None:
            raise no_model(name, version)
        return found

    def put_variants(self, variants: Iterable[VariantRecord], choices: Iterable[ChoiceRecord]) -> None:
        tables = self._tables
        with tables.changes.transaction():
            for variant in variants:
                tables.variants.put((variant.model, variant.version, variant.id), (tables.puts.next(), variant))
            for choice in choices:
                tables.choices.put((choice.model, choice.version, choice.profile), choice)

    def put_answers(self, answers: Iterable[AnswersRecord]) -> None:
        with self._tables.changes.transaction():
            for one in answers:
                self._tables.answers.put((one.model, one.version, one.variant, one.data), one)

    def answers(self, model: str) -> list[AnswersRecord]:
        with self._tables.changes.turn:
            return [one for one in self._tables.answers.by_key() if one.model == model]

    def variants(self, model: str | None = None, version: int | None = None) -> list[VariantRecord]:
        with self._tables.changes.turn:
            found = sorted(self._tables.variants.values(), key=itemgetter(0))
        return [v for _, v in found if model in (None, v.model) and version in (None, v.version)]

    def forms(self, manifests: Iterable[str | None]) -> dict[str, tuple[ManifestForm, ...]]:
        asked = set(manifests)
        with self._tables.changes.turn:
            known = [v for _, v in sorted(self._tables.variants.values(), key=itemgetter(0))]
        return {form.manifest: v.forms for v in known for form in v.forms if form.manifest in asked}

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        with self._tables.changes.turn:
            return [c for c in self._tables.choices.by_key() if (c.model, c.version) == (model, version)]
