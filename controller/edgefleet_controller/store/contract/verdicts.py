"""What gates and operators have found of variants, profile by profile."""

from typing import Protocol

from edgefleet_controller.records import VerdictRecord


class VerdictRecords(Protocol):
    """One record per model, profile and variant: the last one put."""

    def put(self, *verdicts: VerdictRecord) -> None:
        """Store verdicts, each replacing the one on the same model, profile and variant."""

    def of(self, model: str) -> list[VerdictRecord]:
        """The verdicts on a model's variants; MUST be ordered by time, rollout, profile and variant."""
