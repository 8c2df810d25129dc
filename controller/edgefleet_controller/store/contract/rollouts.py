"""Rollouts and their executions."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from edgefleet_contract.rollouts import ExecutionRecord, ReturnView, RolloutPhase
from edgefleet_controller.records import RolloutRecord
from edgefleet_protocol.phases import Phase

IN_PROGRESS: tuple[RolloutPhase, ...] = ("building", "scheduled", "running", "paused", "rolling_back")
"""States in which a rollout owns its devices: all but those in which it has ended."""


class Said(NamedTuple):
    """A device, a model, and the rollout that the device reports for it."""

    device: str
    model: str
    rollout: str | None


class PhaseTally(NamedTuple):
    """How many devices of one profile are in one phase of one wave."""

    wave: int
    phase: Phase
    profile: str
    devices: int


class DownloadSoFar(NamedTuple):
    """How far a device that is fetching was when it reported last; `measured_kbps` is the rate of its link if found.

    `held` says whether it waits, as for its region's window; `seconds` is how long it has been fetching.
    """

    wave: int
    bytes_done: int
    bytes_total: int
    seconds: float
    held: bool
    measured_kbps: float | None


class LiveExecutions(Protocol):
    """Executions of active rollouts, for one reader that looks repeatedly: only what has changed is read.

    The store stays the source of truth: memory holds nothing that isn't stored. What was read in a transaction that
    failed must be dropped, as that transaction may have written it.
    """

    def of(self, rollout: str) -> list[ExecutionRecord]:
        """The current executions of a rollout.

        At the first look they MUST be ordered by wave and device; later ones MUST follow in the order they are found,
        and each execution keeps its place. The caller may change the list.
        """

    def drop(self, rollout: str) -> None:
        """Read everything again at the next look."""

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Drop what was read of all other rollouts."""


class RolloutRecords(Protocol):
    """Rollouts, their waves and executions."""

    live: LiveExecutions

    def put(self, rollout: RolloutRecord) -> None:
        """Store a rollout and its waves, replacing the one with this id; its other waves stay.

        The model of a rollout never changes.
        """

    def get(self, rollout_id: str) -> RolloutRecord:
        """A rollout by its id.

        Raises:
            NotFound: it doesn't exist.
        """

    def all(self, *states: RolloutPhase, changed_since_ms: int = 0) -> list[RolloutRecord]:
        """Rollouts in these states, or all, that have changed since then.

        MUST be ordered by id, so that the oldest comes first.
        """

    def put_executions(self, executions: Iterable[ExecutionRecord]) -> None:
        """Store executions, each replacing the one with the same rollout and device."""

    def executions(self, rollout_id: str) -> list[ExecutionRecord]:
        """The executions of a rollout; MUST be ordered by wave and device."""

    def page_of_executions(self, rollout_id: str, *, after: str, at_most: int) -> list[ExecutionRecord]:
        """At most `at_most` executions of a rollout, for device ids after `after`; MUST be ordered by device."""

    def concerned(self, said: Sequence[Said]) -> dict[tuple[str, str], list[ExecutionRecord]]:
        """By device and model, the executions that a report may move; MUST be ordered by rollout, oldest first.

        A device names each model once. The executions are the one of the rollout that the device names, those that
        have not ended, and those that roll back, all from rollouts of this model. What a device did before it was
        removed never changes, even if it comes back.
        """

    def counts(self, rollout_id: str) -> dict[int, dict[str, int]]:
        """The number of devices by wave and phase.

        MUST be ordered by wave, count only committed data, and never wait for a transaction.
        """

    def tallies(self, rollout_id: str) -> list[PhaseTally]:
        """The devices by wave, phase and profile; MUST count as `counts` does, and be ordered by these three."""

    def downloads(self, rollout_id: str) -> list[DownloadSoFar]:
        """The devices that are fetching and have said how much, in any order; MUST see only committed data."""

    def counts_back(self, rollout_id: str) -> dict[str, int]:
        """The number of devices that roll back, by phase; MUST count as `counts` does."""

    def returns(self, rollout_id: str) -> list[ReturnView]:
        """The devices that roll back, by where their way leads; MUST be ordered by that, and count as `counts` does.

        Devices that were left alone are not counted.
        """

    def committed_by(self, model: str, devices: Iterable[str]) -> dict[str, list[str]]:
        """The variants of a model that each of these devices has committed in any rollout, the latest first.

        Devices without any are left out.
        """

    def moved_on(self, rollout_id: str) -> dict[str, str]:
        """The devices of a rollout on which a later one of its model has committed, each with the latest such one.

        A device that was then returned to the rollout's own variant MUST NOT be told, unless yet another one committed.
        """

    def owners(self, model: str, devices: Iterable[str]) -> dict[str, str]:
        """Those of these devices that a rollout in progress owns for this model, with the id of the oldest one.

        A rollout owns every device that it has an execution for until the rollout itself has ended, whatever becomes
        of the execution; only a device that has left it, as `has_left` says, is free before that.
        """
