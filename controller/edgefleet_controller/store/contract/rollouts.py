"""Rollouts and how far each device is in them."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from edgefleet_contract.rollouts import ExecutionRecord, RolloutPhase
from edgefleet_controller.records import RolloutRecord

IN_PROGRESS: tuple[RolloutPhase, ...] = ("building", "scheduled", "running", "paused", "rolling_back")
"""States of rollouts that want their devices for themselves."""


class Said(NamedTuple):
    """A device, a model, and the rollout that the device names."""

    device: str
    model: str
    rollout: str | None


class LiveExecutions(Protocol):
    """Executions of rollouts under way, for one reader that looks again and again: only what has changed is read.

    The store stays the truth: nothing is in memory that is not written there. What is read within a transaction that
    fails must be dropped: it may have been written by that transaction.
    """

    def of(self, rollout: str) -> list[ExecutionRecord]:
        """The executions of a rollout as they are now, whoever changed them.

        MUST be by wave and device at the first look, and those that came since behind them in the order of the looks;
        an execution keeps its place. The caller may change the list.
        """

    def drop(self, rollout: str) -> None:
        """Read everything anew at the next look."""

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Forget what was read of all other rollouts."""


class RolloutRecords(Protocol):
    """What was decided."""

    live: LiveExecutions

    def put(self, rollout: RolloutRecord) -> None:
        """Keep a rollout and its waves, in place of what had its id; waves that are not among these stay.

        Which model it brings never changes.
        """

    def get(self, rollout_id: str) -> RolloutRecord:
        """A rollout by its id.

        Raises:
            NotFound: there is none.
        """

    def all(self, *states: RolloutPhase) -> list[RolloutRecord]:
        """Rollouts in these states, or all of them; MUST be by id, so that the oldest is the first."""

    def put_executions(self, executions: Iterable[ExecutionRecord]) -> None:
        """Keep executions, each in place of the one of its rollout and device."""

    def executions(self, rollout_id: str) -> list[ExecutionRecord]:
        """The executions of a rollout; MUST be by wave and device."""

    def page_of_executions(self, rollout_id: str, *, after: str, at_most: int) -> list[ExecutionRecord]:
        """Some executions of a rollout: those of devices after one, and no more than so many; MUST be by device."""

    def concerned(self, said: Sequence[Said]) -> dict[tuple[str, str], list[ExecutionRecord]]:
        """By device and model, the executions that a device's word may move; MUST be by rollout, the oldest first.

        A device speaks of a model once at a time. They are that of the rollout which it names, those that have not
        ended, and those on their way back; each of a rollout that brings this model.
        """

    def counts(self, rollout_id: str) -> dict[int, dict[str, int]]:
        """How many devices of each wave are in which phase.

        MUST be by wave, count what is committed, and wait for nobody's transaction.
        """

    def counts_back(self, rollout_id: str) -> dict[str, int]:
        """How many devices that have to go back are in which phase of their way; MUST count as `counts` does."""

    def open_devices(self, model: str) -> dict[str, str]:
        """Devices that a rollout in progress wants for this model, with that rollout's id.

        Those whose execution has not ended, and every device of a rollout that goes back.
        """
