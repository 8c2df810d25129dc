"""How a command ends: exit codes, and one line for what went wrong."""

from typing import NoReturn

import typer

OK, REFUSED, USAGE, ROLLOUT_FAILED, TIMED_OUT = range(5)
INTERRUPTED = 130


def refuse(error: Exception, status: int = REFUSED) -> NoReturn:
    """Say on one line of stderr what was refused, and end.

    Raises:
        typer.Exit: always.
    """
    typer.echo(f"edgefleet: {error}", err=True)
    raise typer.Exit(status)
