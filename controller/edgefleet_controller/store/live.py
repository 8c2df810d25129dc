"""Executions of rollouts under way, kept in memory: each look reads from the store only what has changed since."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store.contract.rollouts import LiveExecutions


class TouchedExecutions(Protocol):
    """Notes of which executions have changed, taken by the store whoever changes them, and undone with a rollback."""

    def of(self, rollout: str) -> list[ExecutionRecord]:
        """Those of a rollout, as they are now; by wave and device."""

    def clear(self, rollout: str) -> None:
        """Forget the notes about a rollout."""

    def rollouts(self) -> list[str]:
        """Rollouts about which there are notes."""


class KnownExecutions(LiveExecutions):
    """Reads a rollout as a whole once, and then what was touched.

    Args:
        transaction: of the store.
        read: all executions of a rollout, by wave and device.
        touched: the store's notes.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[None]],
        read: Callable[[str], list[ExecutionRecord]],
        touched: TouchedExecutions,
    ) -> None:
        self._transaction, self._read, self._touched = transaction, read, touched
        self._known: dict[str, dict[str, ExecutionRecord]] = {}

    def of(self, rollout: str) -> list[ExecutionRecord]:
        with self._transaction():
            known = self._known.get(rollout)
            found = self._read(rollout) if known is None else self._touched.of(rollout)
            if found:
                self._touched.clear(rollout)
            if known is None:
                known = self._known[rollout] = {}
            known.update((execution.device, execution) for execution in found)
            return list(known.values())

    def drop(self, rollout: str) -> None:
        with self._transaction():
            self._known.pop(rollout, None)

    def keep_only(self, rollouts: Collection[str]) -> None:
        with self._transaction():
            for rollout in self._known.keys() - set(rollouts):
                del self._known[rollout]
            for rollout in self._touched.rollouts():
                if rollout not in self._known:
                    self._touched.clear(rollout)
