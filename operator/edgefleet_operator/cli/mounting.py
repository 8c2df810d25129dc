"""Mounts the commands of other packages, from the entry point group `edgefleet.commands`.

An entry's name is the command's name; its object is a function (one command) or a `typer.Typer` (a group). They are
loaded when one is typed or when commands are listed. A command that cannot be loaded stays, and says why. To report an
error on one line, like ours, a command raises `typer.TyperException`.
"""

from importlib.metadata import EntryPoint, entry_points

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

GROUP = "edgefleet.commands"
OURS = "edgefleet"

Command = TyperCommand | TyperGroup


def mounted() -> dict[str, Command]:
    """Load the commands of other packages, by name; the first one with a name counts."""
    found: dict[str, Command] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, _command(entry))
    return found


def _command(entry: EntryPoint) -> Command:
    try:
        loaded = entry.load()
    except Exception as error:  # a broken package must not break the other commands
        return _refusing(entry, why_missing(error, entry) or f"{type(error).__name__}: {error}")
    if isinstance(loaded, typer.Typer):
        command: Command = get_group(loaded)
    elif callable(loaded):
        one = typer.Typer(add_completion=False)
        one.command(entry.name)(loaded)
        made = get_command(one)
        assert isinstance(made, TyperCommand)
        command = made
    else:
        return _refusing(entry, f"{entry.value} is neither a function nor a typer.Typer")
    command.name = entry.name
    return command


def why_missing(error: BaseException, entry: EntryPoint | None = None) -> str | None:
    """Say what to install if an import failed for another package; None if it failed for something else."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.startswith(f"{OURS}_"):
        return None
    ours = entry is None or entry.dist is None or entry.dist.name == OURS
    what = f"'{OURS}[controller,compression]'" if ours else str(entry.dist.name if entry and entry.dist else "it")
    return f"'{error.name}' is not installed: pip install {what}"


def _refusing(entry: EntryPoint, why: str) -> TyperCommand:
    """Make the stand-in for a command that cannot be loaded: it says so, whatever else is typed."""
    whose = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    message = f"'{entry.name}'{whose} cannot be loaded: {why}"

    def refuse() -> None:
        raise typer.TyperException(message)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return TyperCommand(entry.name, callback=refuse, help=message, context_settings=settings, add_help_option=False)
