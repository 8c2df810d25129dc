"""`edgefleet operation`: long work that the controller does in the background."""

from typing import Annotated

import typer

from edgefleet_contract.operations import BuildResult, OperationState
from edgefleet_operator.cli.calling import Api, AsJson, Limit, Timeout, calling, chosen, one
from edgefleet_operator.cli.ending import OK, REFUSED, refuse
from edgefleet_operator.cli.interrupting import waiting_for
from edgefleet_operator.cli.not_built import not_built_lines
from edgefleet_operator.cli.progress import follow
from edgefleet_operator.cli.version_comparison import comparison_line
from edgefleet_operator.errors import OperatorError
from edgefleet_operator.figures import NONE, when
from edgefleet_operator.printing import console, print_facts, print_json, print_table
from edgefleet_operator.short_ids import short_ids

app = typer.Typer(no_args_is_help=True, help="Show and cancel builds and other long work.")


@app.command("list")
def list_operations(
    state: Annotated[OperationState | None, typer.Option(help="only operations in this state")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List operations, oldest first."""
    with calling(api) as client:
        found = chosen(client.operations.all, limit, None if state is None else lambda o: o.state == state)
    if as_json:
        print_json(found)
        return
    ids = short_ids(o.id for o in found)
    rows = [(ids[o.id], f"{o.kind} {o.target}", o.state, when(o.created_ms)) for o in found]
    print_table(("operation", "what", "state", "started"), rows, nothing="no operations")


@app.command()
def show(
    operation: Annotated[str, typer.Argument(help="the operation's id, or its start or end")],
    watch: Annotated[bool, typer.Option("--watch", help="follow it until it has ended")] = False,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show an operation's progress and how it ended; with --watch, exit code 1 means that it did not succeed."""
    with calling(api) as client:
        found = one(client.operations, operation)
        if watch:
            found = follow(client, found, timeout)
    if as_json:
        print_json(found)
    else:
        bars = [(f"  {entry.recipe}", f"{entry.fraction:.0%} {entry.text}") for entry in found.progress]
        result = found.result if isinstance(found.result, BuildResult) else None
        ended = [] if result is None else list(not_built_lines(result))
        if result is not None and result.compared is not None:
            ended.append(comparison_line(found.target, result.compared))
        print_facts(
            [
                ("operation", found.id),
                ("what", f"{found.kind} {found.target}"),
                ("state", found.state),
                ("started", when(found.created_ms)),
                ("changed", when(found.changed_ms)),
                ("error", found.error or NONE),
                *([("progress", ""), *bars] if bars else ()),
                *(("", line) for line in ended),
            ]
        )
    raise typer.Exit(REFUSED if watch and found.state != "succeeded" else OK)


@app.command()
def cancel(
    operation: Annotated[str, typer.Argument(help="the operation's id, or its start or end")],
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an operation that waits or runs, and wait for its end; its finished steps stay in the cache."""
    with calling(api) as client:
        found = client.operations.cancel(one(client.operations, operation).id)
        with waiting_for(f"operation {found.id} is being cancelled: `edgefleet operation show {found.id}` shows it"):
            found = client.operations.wait(found.id, timeout_s=timeout)
    if as_json:
        print_json(found)
    if found.state != "cancelled":
        refuse(OperatorError(f"operation {found.id} has {found.state} before it could be cancelled"))
    if not as_json:
        console().print(f"operation {found.id} is cancelled: {found.error}")
