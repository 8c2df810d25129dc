"""Commands of other packages: the entry point group `edgefleet.commands` names them.

An entry's name is what is typed, its object a function (one command) or a `typer.Typer` (a group of them). They are
loaded when one of them is asked for, or all are listed; one that cannot be loaded stays there and says why. A command
ends with one line, like ours, by raising `typer.TyperException`.
"""

from importlib.metadata import EntryPoint, entry_points

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

GROUP = "edgefleet.commands"
OURS = "edgefleet"

Command = TyperCommand | TyperGroup


def mounted() -> dict[str, Command]:
    """The commands of other packages, by what is typed; the first of a name counts."""
    found: dict[str, Command] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, _command(entry))
    return found


def _command(entry: EntryPoint) -> Command:
    try:
        loaded = entry.load()
    except Exception as error:  # whatever a package of somebody else's does: the other commands work
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
    """What to install, where a package of somebody else's is what an import failed for."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.startswith(f"{OURS}_"):
        return None
    ours = entry is None or entry.dist is None or entry.dist.name == OURS
    what = f"'{OURS}[controller,compression]'" if ours else str(entry.dist.name if entry and entry.dist else "it")
    return f"'{error.name}' is missing here: pip install {what}"


def _refusing(entry: EntryPoint, why: str) -> TyperCommand:
    """A command that cannot be loaded, and says so whatever else is typed."""
    whose = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    message = f"'{entry.name}'{whose} cannot be loaded: {why}"

    def refuse() -> None:
        raise typer.TyperException(message)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return TyperCommand(entry.name, callback=refuse, help=message, context_settings=settings, add_help_option=False)
