"""The audit trail: what happened, when and to what."""

from typing import NamedTuple, Protocol


class AuditEntry(NamedTuple):
    """One line; `at_ms` is in milliseconds UTC."""

    at_ms: int
    what: str
    detail: str | None


class Audit(Protocol):
    """Lines are only added, never changed."""

    def note(self, at_ms: int, what: str, subject: str, detail: str | None = None) -> None:
        """Add a line about a subject: a device, a rollout or a model."""

    def of(self, subject: str) -> list[AuditEntry]:
        """The lines about one subject; MUST be in the order they were added."""
