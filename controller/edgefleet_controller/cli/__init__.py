"""`edgefleet`: the operator's command line. It talks HTTP; only `serve` and `demo` run anything themselves."""

import typer

from edgefleet_controller.cli import (
    compress,
    demo,
    device,
    doctor,
    model,
    operation,
    orders,
    profile,
    recipe,
    rollout,
    segment,
    serve,
    telemetry,
    variant,
)
from edgefleet_controller.cli.ending import OneLine

app = typer.Typer(
    cls=OneLine, no_args_is_help=True, add_completion=False, help="Deploy AI models to fleets of edge devices."
)
app.command()(serve.serve)
app.command()(demo.demo)
app.add_typer(model.app, name="model")
app.command()(compress.compress)
app.add_typer(variant.app, name="variant")
app.add_typer(recipe.app, name="recipe")
app.add_typer(profile.app, name="profile")
app.add_typer(device.app, name="device")
app.add_typer(segment.app, name="segment")
rollout.app.add_typer(orders.app)
app.add_typer(rollout.app, name="rollout")
app.command()(telemetry.telemetry)
app.add_typer(operation.app, name="operation")
app.command()(doctor.doctor)
