"""Models, variants, what was chosen among them, and the blobs that they name."""

from collections.abc import Iterable
from typing import Protocol

from edgefleet_controller.records import ChoiceRecord, ModelRecord, VariantRecord


class ModelRegistry(Protocol):
    """What was registered and built."""

    def put_blob(self, sha256: str, size_bytes: int, *, deliverable: bool) -> None:
        """Remember a blob; one that devices may ask for MUST stay so."""

    def knows_blob(self, sha256: str) -> bool:
        """Whether a blob is written down."""

    def deliverable_bytes(self, sha256: str) -> int | None:
        """The size of a blob that devices may ask for; None for every other one."""

    def put_model(self, model: ModelRecord) -> None:
        """Register a model version, in place of what had its name and version."""

    def models(self) -> list[ModelRecord]:
        """All model versions; MUST be by name and version."""

    def find_model(self, name: str, version: int) -> ModelRecord | None:
        """A model version, if it is registered."""

    def model(self, name: str, version: int) -> ModelRecord:
        """A model version.

        Raises:
            NotFound: it is not registered.
        """

    def put_variants(self, variants: Iterable[VariantRecord], choices: Iterable[ChoiceRecord]) -> None:
        """Publish variants together with what was chosen among them, in place of those that are there."""

    def variants(self, model: str | None = None, version: int | None = None) -> list[VariantRecord]:
        """Variants of one model version, of one model or of all; MUST be in the order in which they were put last."""

    def needs(self, manifests: Iterable[str | None]) -> dict[str, tuple[str, ...]]:
        """The features that these manifests need; those that need none are left out."""

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        """What was chosen for each profile; MUST be by profile."""
