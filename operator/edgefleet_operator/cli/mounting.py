"""Mounts the commands of other packages, from the entry point group `edgefleet.commands`.

An entry's name is the command's name; its object is a function (one command) or a `typer.Typer` (a group). They are
loaded when one is typed or when commands are listed. A command that cannot be loaded stays, and says why. Of two with
one name ours counts, or else the first by package; its help names the other. To report an error on one line, like ours,
a command raises `typer.TyperException`.
"""

import inspect
from importlib.metadata import EntryPoint

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from edgefleet_process.installed import OURS, brought, is_ours, package_of, said

GROUP = "edgefleet.commands"

Command = TyperCommand | TyperGroup


def mounted() -> dict[str, Command]:
    """Load the commands of other packages, by name."""
    installed = brought(GROUP)
    for unreadable in installed.unreadable:
        typer.echo(f"edgefleet: {unreadable}", err=True)
    found: dict[str, Command] = {}
    for entry in sorted(installed.entries, key=_order):
        if entry.name not in found:
            found[entry.name] = _command(entry)
            continue
        ignored = f"The '{entry.name}' of {package_of(entry)} is ignored: its name is taken."
        kept = found[entry.name]
        kept.epilog = f"{kept.epilog} {ignored}" if kept.epilog else ignored
    return dict(sorted(found.items()))


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    return not is_ours(entry), str(package_of(entry)), entry.name


def _command(entry: EntryPoint) -> Command:
    try:
        return _loaded(entry)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a broken package must not break the other commands
        return _refusing(entry, why_missing(error, entry) or said(error))


def _loaded(entry: EntryPoint) -> Command:
    """Load the command of an entry; raises whatever its package does."""
    loaded = entry.load()
    if isinstance(loaded, typer.Typer):
        command: Command = get_group(loaded)
    elif inspect.isroutine(loaded):
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
    """Say what is not installed if an import failed for that; None if it failed for something else."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.startswith(f"{OURS}_"):
        return None
    if entry is None or is_ours(entry):
        return f"'{error.name}' is not installed: pip install '{OURS}[controller,compression]'"
    return f"'{error.name}', which {package_of(entry)} imports, is not installed"


def _refusing(entry: EntryPoint, why: str) -> TyperCommand:
    """Make the stand-in for a command that cannot be loaded: it says so, whatever else is typed."""
    message = f"'{entry.name}' of {package_of(entry)} cannot be loaded: {why}"

    def refuse() -> None:
        raise typer.TyperException(message)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return TyperCommand(entry.name, callback=refuse, help=message, context_settings=settings, add_help_option=False)
