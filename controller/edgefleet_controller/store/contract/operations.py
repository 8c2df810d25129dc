"""Operations: long-running work, its progress and how it ended."""

from typing import Protocol

from edgefleet_contract.operations import OperationRecord


class OperationRecords(Protocol):
    """One record per operation: the last one put."""

    def put(self, operation: OperationRecord) -> None:
        """Store an operation and its progress."""

    def get(self, operation_id: str) -> OperationRecord:
        """An operation by its id.

        Raises:
            NotFound: it doesn't exist.
        """

    def all(self) -> list[OperationRecord]:
        """All operations; MUST be ordered by id, so that the newest comes last."""
