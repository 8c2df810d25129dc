"""Ends commands: exit codes, and one line for an error."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from edgefleet_operator.cli.mounting import mounted, why_missing
from edgefleet_operator.short_ids import with_short_ids
from edgefleet_process.causes import in_words
from edgefleet_profiles.faults import plain

MAX_LINE = 2000
TRACEBACK = "EDGEFLEET_TRACEBACK"
OK, REFUSED, USAGE, ROLLOUT_FAILED, TIMED_OUT = range(5)
INTERRUPTED = 130


def refuse(error: Exception, status: int = REFUSED) -> NoReturn:
    """Print an error on one line of stderr, and exit.

    Raises:
        typer.Exit: always.
    """
    typer.echo(one_line(in_words(error)), err=True)
    raise typer.Exit(status)


def one_line(error: object) -> str:
    """Format an error as one line, without what would move a terminal's cursor or change its title."""
    line = " ".join(with_short_ids(str(error)).split())[:MAX_LINE]
    return f"edgefleet: {''.join(c if c.isprintable() else '?' for c in line)}"


class OneLine(TyperGroup):
    """All commands, other packages' included; an error takes one line, so that logs stay readable."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own class of contexts
        """List our commands in the order they were added, then the mounted ones."""
        self._mount()
        return list(self.commands)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the typed command; other packages' commands are loaded only if it is not one of ours."""
        if args[0] not in self.commands:
            self._mount()
        return super().resolve_command(ctx, args)

    def _mount(self) -> None:
        for name, command in mounted().items():
            self.commands.setdefault(name, command)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; if the user interrupts it, one line says so, and what goes on.

        Raises:
            typer.Exit: it was interrupted.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupted:
            typer.echo(one_line("; ".join(filter(None, ("interrupted", str(interrupted))))), err=True)
            raise typer.Exit(INTERRUPTED) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the typed command, and exit."""
        _mend_streams()
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            if message := _in_plain_words(error.format_message()):  # empty after --help
                ctx = getattr(error, "ctx", None)
                early = hasattr(error, "option_name") and hasattr(getattr(ctx, "command", None), "commands")
                advice = "; write a command's options after it" if early else ""
                at = getattr(ctx, "command_path", "edgefleet")
                usage = f"{message.rstrip('.')}{advice}; see {at} --help"
                typer.echo(one_line(usage if error.exit_code == USAGE else message), err=True)
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(REFUSED)
        except OSError as error:
            typer.echo(one_line(in_words(error)), err=True)
            sys.exit(REFUSED)
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            fault = f"internal error: {type(error).__name__}: {error}; set {TRACEBACK}=1 to see where"
            typer.echo(one_line(why_missing(error) or fault), err=True)
            sys.exit(REFUSED)
        sys.exit(status if isinstance(status, int) else OK)


def _in_plain_words(message: str) -> str:
    return plain(" ".join(message.split())).removeprefix("Invalid value: ")


def _mend_streams() -> None:
    """Let nothing fail for a closed stream, or for a character that a terminal cannot show."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - while the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
