"""Executions of active rollouts, kept in memory; each look reads only what has changed in the store."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store.contract.rollouts import LiveExecutions


class TouchedExecutions(Protocol):
    """The store's notes of which executions have changed, undone with their transaction."""

    def of(self, rollout: str) -> list[ExecutionRecord]:
        """The touched executions of a rollout as they are now, ordered by wave and device."""

    def clear(self, rollout: str) -> None:
        """Clear the notes about a rollout."""

    def rollouts(self) -> list[str]:
        """The rollouts with notes."""


class KnownExecutions(LiveExecutions):
    """Reads all executions of a rollout once, and then only touched ones.

    Args:
        transaction: starts a transaction of the store.
        read: reads all executions of a rollout, ordered by wave and device.
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
