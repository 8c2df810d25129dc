"""Shows an operation's progress: as bars on a terminal, else as a line for each quarter of a build."""

from collections.abc import Sequence

from edgefleet_contract.operations import BuildProgress, OperationRecord
from edgefleet_operator.cli.interrupting import going_on, waiting_for
from edgefleet_operator.client import Client
from edgefleet_operator.live import LiveBars
from edgefleet_operator.printing import console

STEP = 0.25


def follow(client: Client, operation: OperationRecord, timeout_s: float | None) -> OperationRecord:
    """Show an operation's progress on stderr until it has ended, and return it.

    Raises:
        ApiError: the controller is gone.
        WaitInterrupted: the user no longer waits.
        WaitTimeout: the time is up.
    """
    out = console(stderr=True)
    shown: LiveBars | _Lines = LiveBars(out) if out.is_terminal else _Lines()
    latest = operation
    with waiting_for(going_on(operation)), shown:
        for latest in client.operations.watch(operation.id, timeout_s=timeout_s):
            shown.show(latest.progress)
    return latest


class _Lines:
    """A line for each quarter of a build."""

    def __init__(self) -> None:
        self._out = console(stderr=True)
        self._told: dict[str, int] = {}

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, entries: Sequence[BuildProgress]) -> None:
        for entry in entries:
            quarter = int(entry.fraction / STEP)
            if self._told.get(entry.recipe, -1) < quarter:
                self._told[entry.recipe] = quarter
                self._out.print(f"{entry.recipe}: {entry.fraction:.0%} {entry.text}")
