"""Models, variants, choices, and the blobs that they name."""

from collections.abc import Iterable
from typing import Protocol

from edgefleet_controller.records import AnswersRecord, ChoiceRecord, ManifestForm, ModelRecord, VariantRecord


class ModelRegistry(Protocol):
    """Everything that was registered and built."""

    def put_blob(self, sha256: str, size_bytes: int, *, deliverable: bool) -> None:
        """Store a blob's size; once deliverable, a blob MUST stay deliverable."""

    def knows_blob(self, sha256: str) -> bool:
        """Whether a blob is in the store."""

    def deliverable_bytes(self, sha256: str) -> int | None:
        """The size of a blob that devices may ask for; None for any other."""

    def put_model(self, model: ModelRecord) -> None:
        """Register a model version, replacing any with the same name and version."""

    def models(self) -> list[ModelRecord]:
        """All model versions; MUST be ordered by name and version."""

    def find_model(self, name: str, version: int) -> ModelRecord | None:
        """A model version; None if it isn't registered."""

    def model(self, name: str, version: int) -> ModelRecord:
        """A model version.

        Raises:
            NotFound: it is not registered.
        """

    def put_variants(self, variants: Iterable[VariantRecord], choices: Iterable[ChoiceRecord]) -> None:
        """Publish variants together with the choices among them, replacing existing ones."""

    def variants(self, model: str | None = None, version: int | None = None) -> list[VariantRecord]:
        """The variants of one model version, one model, or all; MUST be in the order they were last put."""

    def forms(self, manifests: Iterable[str | None]) -> dict[str, tuple[ManifestForm, ...]]:
        """Of each of these manifests that is a variant's, in any form: all forms, the newest first."""

    def put_answers(self, answers: Iterable[AnswersRecord]) -> None:
        """Note where answers are kept, replacing those of the same variant to the same samples."""

    def answers(self, model: str) -> list[AnswersRecord]:
        """All kept answers of a model's versions; MUST be ordered by version, variant and data."""

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        """The choice for each profile; MUST be ordered by profile."""
