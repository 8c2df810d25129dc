"""Shows an operation's progress: as bars on a terminal, else as a line for each quarter of a build."""

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edgefleet_contract.operations import OperationRecord
from edgefleet_operator.client import Client
from edgefleet_operator.printing import console
from edgefleet_operator.short_ids import short_ids

STEP = 0.25


def follow(client: Client, operation: OperationRecord, timeout_s: float | None) -> OperationRecord:
    """Show an operation's progress on stderr until it has ended, and return it.

    Raises:
        ApiError: the controller is gone.
        WaitTimeout: the time is up.
        KeyboardInterrupt: somebody pressed Ctrl-C, and was told that the operation goes on.
    """
    shown: _Bars | _Lines = _Bars() if console(stderr=True).is_terminal else _Lines()
    latest = operation
    try:
        with shown:
            for latest in client.operations.watch(operation.id, timeout_s=timeout_s):
                for entry in latest.progress:
                    shown.show(entry.recipe, entry.fraction, entry.text)
    except KeyboardInterrupt:
        typer.echo(goes_on(short_ids([operation.id])[operation.id]), err=True)
        raise
    return latest


def goes_on(operation: str) -> str:
    """What to know of an operation that is no longer watched."""
    return (
        f"operation {operation} goes on: `edgefleet operation show {operation} --watch` follows it, "
        f"`edgefleet operation cancel {operation}` ends it"
    )


class _Bars:
    """A bar for each build."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.fields[name]:<26}"), BarColumn(30), TextColumn("{task.percentage:>3.0f} %"))
        self._progress = Progress(
            *columns, TimeElapsedColumn(), TextColumn("{task.description}"), console=console(stderr=True)
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, name: str, fraction: float, text: str) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task("", name=name, total=1.0)
        self._progress.update(self._bars[name], completed=fraction, description=text)


class _Lines:
    """A line for each quarter of a build."""

    def __init__(self) -> None:
        self._out = console(stderr=True)
        self._told: dict[str, int] = {}

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, name: str, fraction: float, text: str) -> None:
        quarter = int(fraction / STEP)
        if self._told.get(name, -1) < quarter:
            self._told[name] = quarter
            self._out.print(f"{name}: {fraction:.0%} {text}")
