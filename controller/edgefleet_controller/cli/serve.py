"""`edgefleet serve`: the one command that is the controller."""

from pathlib import Path
from typing import Annotated

import typer

from edgefleet_controller.cli.ending import refuse
from edgefleet_controller.errors import ControllerError
from edgefleet_controller.settings import Settings
from edgefleet_profiles.errors import ProfileError


def serve(
    state: Annotated[Path, typer.Option(help="folder of everything the controller keeps")] = Path(
        ".edgefleet/controller"
    ),
    port: Annotated[int, typer.Option(help="port of the API; 0 takes a free one and keeps it")] = 0,
    broker: Annotated[str | None, typer.Option(help="mqtt://HOST:PORT of your own broker; default: embedded")] = None,
    profiles: Annotated[Path | None, typer.Option(help="folder of your own catalogue entries")] = None,
    tick: Annotated[float, typer.Option(help="seconds between looks at the rollouts", min=0.05, max=60)] = 1.0,
    hello_jitter: Annotated[float, typer.Option(help="seconds over which devices report", min=0, max=600)] = 2.0,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="let every device in that reports")] = False,
) -> None:
    """Run the controller: broker, rollouts, delivery, telemetry and the REST API."""
    from edgefleet_controller.serve import serve as run

    settings = Settings(
        state=state,
        port=port,
        broker_url=broker,
        profiles=profiles,
        accept_all=accept_all,
        tick_s=tick,
        hello_jitter_s=hello_jitter,
    )
    try:
        run(settings)
    except (ControllerError, ProfileError, OSError) as error:
        refuse(error)
