"""Alerts: what needs an operator's look."""

from typing import Protocol

from edgefleet_contract.alerts import AlertRecord, AlertState


class AlertRecords(Protocol):
    """Alerts by id."""

    def put(self, *alerts: AlertRecord) -> None:
        """Store alerts, each replacing the one with its id."""

    def all(self, *, state: AlertState | None = None, rollout: str | None = None) -> list[AlertRecord]:
        """Alerts in this state and of this rollout, or all; MUST be ordered by id."""

    def forget(self, ended_before_ms: int) -> int:
        """Remove alerts that ended before then; returns how many. Open ones MUST stay."""
