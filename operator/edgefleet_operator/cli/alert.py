"""`edgefleet alert`: what needs an operator's look."""

from typing import Annotated

import typer

from edgefleet_operator.cli.calling import Api, AsJson, Limit, calling
from edgefleet_operator.figures import NONE, when
from edgefleet_operator.printing import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Show what needs a look, such as a model that got worse.")


@app.command("list")
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="also alerts that have ended, and why")] = False,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List open alerts, each with what to do about it."""
    with calling(api) as client:
        found = list(client.alerts.all(None if everything else "open", limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (a.kind, a.rollout or NONE, when(a.first_ms), when(a.last_ms), a.text, a.ended_because or a.do) for a in found
    ]
    columns = (
        "alert",
        "rollout",
        "since",
        "last found",
        "what...",
        "what to do, or how it ended..." if everything else "what to do...",
    )
    print_table(columns, rows, nothing="no alerts" if everything else "no open alerts")
