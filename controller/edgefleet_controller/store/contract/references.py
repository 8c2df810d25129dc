"""Who names which blob and which model: what must stay, and what may go."""

from typing import Protocol


class References(Protocol):
    """Looks across models, variants, rollouts and devices.

    A rollout is in progress here until it is completed, cancelled or rolled back, completely or not: until then it may
    go on from any state.
    """

    def model_files(self) -> set[str]:
        """The source files of every registered model."""

    def manifests(self) -> set[str]:
        """Every manifest that is built, that a device should run, or that a rollout in progress goes from or to."""

    def reported_manifests(self) -> set[str]:
        """Every manifest that a device says it holds, runs or was given last: it may have to mend its copy."""

    def blobs(self) -> set[str]:
        """Every blob that is written down."""

    def forget_blob(self, sha256: str) -> None:
        """Devices may no longer ask for this blob."""

    def building(self, target: str | None = None) -> bool:
        """Whether an operation on a model, or any, is running: what it will name is not written down yet."""

    def rollout_of(self, model: str, version: int) -> str | None:
        """A rollout in progress that brings this model version, or may have to go back to it; MUST be the oldest."""

    def devices_of(self, model: str, version: int) -> list[str]:
        """The devices that should run this model version; MUST be by id."""

    def remove_model(self, model: str, version: int) -> None:
        """Remove a model version, its variants and what was chosen among them."""
