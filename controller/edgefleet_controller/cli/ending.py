"""How a command ends: exit codes, and one line for what went wrong."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

OK, REFUSED, USAGE, ROLLOUT_FAILED, TIMED_OUT = range(5)
INTERRUPTED = 130


def refuse(error: Exception, status: int = REFUSED) -> NoReturn:
    """Say on one line of stderr what was refused, and end.

    Raises:
        typer.Exit: always.
    """
    typer.echo(one_line(error), err=True)
    raise typer.Exit(status)


def one_line(error: Exception) -> str:
    """What went wrong, as it is printed."""
    return f"edgefleet: {' '.join(str(error).split())}"


class OneLine(TyperGroup):
    """Commands whose wrong usage is told on one line, too, so that it can be read in a log."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that is typed, and end."""
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            if message := " ".join(error.format_message().split()):  # empty where the help was asked for
                at = getattr(getattr(error, "ctx", None), "command_path", "edgefleet")
                typer.echo(f"edgefleet: {message.rstrip('.')}; see {at} --help", err=True)
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(REFUSED)
        sys.exit(status if isinstance(status, int) else OK)
