"""References to blobs and models: what must stay, and what may be removed."""

from typing import Protocol


class References(Protocol):
    """Looks across models, variants, rollouts and devices.

    Here a rollout is in progress until it is completed, cancelled or rolled back, completely or not: until then it may
    still continue.
    """

    def model_files(self) -> set[str]:
        """The source files of every registered model."""

    def manifests(self) -> set[str]:
        """Every manifest of a variant, of a desired state, or that a rollout in progress goes from or to."""

    def reported_manifests(self) -> set[str]:
        """Every manifest that a device holds, runs or last tried, by its report: it may have to repair its copy."""

    def answers(self) -> set[str]:
        """Every blob of kept answers."""

    def blobs(self) -> set[str]:
        """Every blob in the store."""

    def forget_blob(self, sha256: str) -> None:
        """Remove a blob, so that devices may no longer ask for it."""

    def building(self, target: str | None = None) -> bool:
        """Whether an operation is running, on this model or on any: what it will name is not stored yet."""

    def rollout_of(self, model: str, version: int) -> str | None:
        """The oldest rollout in progress that brings this model version or may roll back to it; None if none does."""

    def devices_of(self, model: str, version: int) -> list[str]:
        """The devices that should run this model version; MUST be ordered by id."""

    def remove_model(self, model: str, version: int) -> None:
        """Remove a model version, its variants and choices, and the answers that these gave or were asked for it."""
