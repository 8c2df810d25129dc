"""`edgefleet demo`: the whole loop on one machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edgefleet_contract.errors import ContractError
from edgefleet_operator.cli.ending import refuse
from edgefleet_operator.cli.interrupting import waiting_for
from edgefleet_operator.errors import OperatorError

FILE_COLUMNS = 160
REPOSITORY = Path(__file__).parents[3]


def demo(
    state: Annotated[Path, typer.Option(help="folder for the demo's state, logs and report.json")] = Path(
        ".edgefleet/demo"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="leave everything running and print the URLs")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="stop what --keep left running")] = False,
    example: Annotated[str, typer.Option(metavar="NAME", help="the example to show")] = "fashion",
    examples: Annotated[Path, typer.Option(help="the examples folder of a clone")] = REPOSITORY / "examples",
) -> None:
    """Show the whole loop: compress for six profiles, roll out in waves, measure on the devices."""
    from edgefleet_operator.demo.run import DemoSettings, run_demo, stop_demo  # damaging a model needs numpy

    console = Console() if sys.stdout.isatty() else Console(width=FILE_COLUMNS)
    try:
        if stop:
            raise typer.Exit(stop_demo(state, console))
        with waiting_for(f"what the demo had started is stopped; its files are in {state}"):
            status = run_demo(DemoSettings(state=state, examples=examples, example=example, keep=keep), console)
    except (OperatorError, ContractError) as error:
        refuse(error)
    raise typer.Exit(status)
