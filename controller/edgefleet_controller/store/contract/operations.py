"""Long work that was accepted: how far it is, and how it ended."""

from typing import Protocol

from edgefleet_contract.operations import OperationRecord


class OperationRecords(Protocol):
    """One record for each operation: the last one that was put."""

    def put(self, operation: OperationRecord) -> None:
        """Remember how far an operation is."""

    def get(self, operation_id: str) -> OperationRecord:
        """An operation by its id.

        Raises:
            NotFound: there is none.
        """

    def all(self) -> list[OperationRecord]:
        """All operations; MUST be by id, so that the newest is the last."""
