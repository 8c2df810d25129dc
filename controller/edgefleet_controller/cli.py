"""`edgefleet`: the operator's command line. It talks HTTP; only `serve` and `demo` run anything themselves."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edgefleet_compression.errors import CompressionError
from edgefleet_controller.demo.run import DemoSettings, run_demo, stop_demo
from edgefleet_controller.errors import ControllerError
from edgefleet_controller.settings import Settings
from edgefleet_profiles.errors import ProfileError

REFUSED = 1
FILE_COLUMNS = 140
REPOSITORY = Path(__file__).parents[2]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Deploy AI models to fleets of edge devices.")


@app.command()
def serve(
    state: Annotated[Path, typer.Option(help="folder of everything the controller keeps")] = Path(
        ".edgefleet/controller"
    ),
    port: Annotated[int, typer.Option(help="port of the API; 0 takes a free one and keeps it")] = 0,
    broker: Annotated[str | None, typer.Option(help="mqtt://HOST:PORT of your own broker; default: embedded")] = None,
    profiles: Annotated[Path | None, typer.Option(help="folder of your own catalogue entries")] = None,
    tick: Annotated[float, typer.Option(help="seconds between looks at the rollouts", min=0.05, max=60)] = 1.0,
    hello_jitter: Annotated[float, typer.Option(help="seconds over which devices report", min=0, max=600)] = 2.0,
) -> None:
    """Run the controller: broker, rollouts, delivery, telemetry and the REST API."""
    from edgefleet_controller.serve import serve as run

    settings = Settings(
        state=state, port=port, broker_url=broker, profiles=profiles, tick_s=tick, hello_jitter_s=hello_jitter
    )
    try:
        run(settings)
    except (ControllerError, ProfileError, OSError) as error:
        _refuse(error)


@app.command()
def demo(
    state: Annotated[Path, typer.Option(help="folder for the demo's state, logs and report.json")] = Path(
        ".edgefleet/demo"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="leave everything running and print the URLs")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="end what --keep left running")] = False,
    examples: Annotated[Path, typer.Option(help="the examples folder of a clone")] = REPOSITORY / "examples",
) -> None:
    """Show the whole loop: compress for six profiles, roll out in waves, measure on the devices."""
    console = Console() if sys.stdout.isatty() else Console(width=FILE_COLUMNS)
    try:
        if stop:
            raise typer.Exit(stop_demo(state, console))
        status = run_demo(DemoSettings(state=state, examples=examples, keep=keep), console)
    except (ControllerError, CompressionError) as error:
        _refuse(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(status)


def _refuse(error: Exception) -> None:
    typer.echo(f"edgefleet: {error}", err=True)
    raise typer.Exit(REFUSED)
