"""`edgefleet`: the operator's command line. It talks HTTP; only `demo` runs anything itself.

Commands of other packages, such as `serve` and `recipe`, are mounted beside these: see mounting.py.
"""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from edgefleet_operator.cli import (
    alert,
    compress,
    demo,
    device,
    doctor,
    model,
    operation,
    orders,
    profile,
    rollout,
    segment,
    telemetry,
    variant,
)
from edgefleet_operator.cli.ending import OneLine, one_line
from edgefleet_process.environment import unread

app = typer.Typer(cls=OneLine, no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgefleet {version('edgefleet')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Deploy AI models to fleets of edge devices."""
    if strays := unread(os.environ):
        typer.echo(one_line(f"warning: {strays}"), err=True)


app.command()(demo.demo)
app.add_typer(model.app, name="model")
app.command()(compress.compress)
app.add_typer(variant.app, name="variant")
app.add_typer(profile.app, name="profile")
app.add_typer(device.app, name="device")
app.add_typer(segment.app, name="segment")
rollout.app.add_typer(orders.app)
app.add_typer(rollout.app, name="rollout")
app.add_typer(alert.app, name="alert")
app.command()(telemetry.telemetry)
app.add_typer(operation.app, name="operation")
app.command()(doctor.doctor)
