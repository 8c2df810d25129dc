"""`edgefleet`: the operator's command line. It talks HTTP; only `serve` and `demo` run anything themselves."""

import typer

from edgefleet_controller.cli.demo import demo
from edgefleet_controller.cli.serve import serve

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Deploy AI models to fleets of edge devices.")
app.command()(serve)
app.command()(demo)
