"""`edgefleet rollout`: plans, starts, lists and shows rollouts; the orders are in orders.py."""

from functools import partial
from typing import Annotated

import typer

from edgefleet_contract.rollouts import RolloutPhase
from edgefleet_operator.cli import spec as options
from edgefleet_operator.cli.calling import Api, AsJson, Limit, ModelArgument, Timeout, calling, chosen, one
from edgefleet_operator.cli.ending import OK
from edgefleet_operator.cli.rollout_tables import print_devices, print_plan, print_rollout
from edgefleet_operator.cli.watch import header, status_of, watch, way_back
from edgefleet_operator.cli.waves import DeviceTally
from edgefleet_operator.figures import ago, now_ms
from edgefleet_operator.printing import console, plain, print_json, print_table
from edgefleet_operator.short_ids import short_ids
from edgefleet_protocol.phases import PHASES

app = typer.Typer(no_args_is_help=True, help="Roll out models in waves; watch, stop and roll back.")
Rollout = Annotated[str, typer.Argument(help="the rollout's id, or its start or end")]
Watch = Annotated[bool, typer.Option("--watch", help="follow it until it has ended or is paused")]


@app.command()
def plan(
    model: ModelArgument,
    segment: options.SegmentOption = None,
    selector: options.SelectorOption = None,
    everyone: options.Everyone = False,
    waves: options.Waves = None,
    start_share: options.StartShare = None,
    concurrency: options.Concurrency = None,
    on_failure: options.OnFailure = None,
    accept_drop: options.AcceptDrop = False,
    accept_signature: options.AcceptSignature = False,
    gate: options.GateOption = None,
    timer: options.TimerOption = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Print exactly what `start` would do with the same options; change nothing."""
    to = (segment, selector, everyone)
    asked = options.make_spec(
        *(model, to, waves, gate, timer),
        start_share=start_share,
        concurrency=concurrency,
        on_failure=on_failure,
        accept_drop=accept_drop,
        accept_signature=accept_signature,
    )
    with calling(api) as client:
        planned = client.rollouts.plan(asked)
        if as_json:
            print_json(planned)
        else:
            print_plan(client, planned, asked)


@app.command()
def start(
    model: ModelArgument,
    segment: options.SegmentOption = None,
    selector: options.SelectorOption = None,
    everyone: options.Everyone = False,
    waves: options.Waves = None,
    start_share: options.StartShare = None,
    concurrency: options.Concurrency = None,
    on_failure: options.OnFailure = None,
    accept_drop: options.AcceptDrop = False,
    accept_signature: options.AcceptSignature = False,
    gate: options.GateOption = None,
    timer: options.TimerOption = None,
    follow: Watch = False,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Start a rollout; with --watch, or if it ends at once, the exit code says how it ended."""
    to = (segment, selector, everyone)
    asked = options.make_spec(
        *(model, to, waves, gate, timer),
        start_share=start_share,
        concurrency=concurrency,
        on_failure=on_failure,
        accept_drop=accept_drop,
        accept_signature=accept_signature,
    )
    status = OK
    with calling(api) as client:
        found = client.rollouts.start(asked)
        if follow:
            found = watch(client, found, console(stderr=as_json), timeout)
        if follow or found.rests:
            status = status_of(found)
        if as_json:
            print_json(found)
        elif found.rests and not follow:
            console().print(header(found))
        elif not follow:
            console().print(f"rollout {found.id} is {found.state}: `edgefleet rollout show {found.id} --watch`")
    raise typer.Exit(status)


@app.command("list")
def list_rollouts(
    model: Annotated[
        str | None, typer.Option(metavar="MODEL@VERSION", help="only rollouts of this model version")
    ] = None,
    state: Annotated[RolloutPhase | None, typer.Option(help="only rollouts in this state")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List rollouts, oldest first."""
    with calling(api) as client:
        keep = (lambda r: model in (None, r.model) and state in (None, r.state)) if model or state else None
        found = chosen(client.rollouts.all, limit, keep)
    if as_json:
        print_json(found)
        return
    rows, now, ids = [], now_ms(), short_ids(r.id for r in found)
    for r in found:
        tally = DeviceTally.of(r.counts)
        to = r.segment or r.selector or "everyone"
        runs = way_back(r) or f"{tally.committed} of {tally.total}"
        rows.append((ids[r.id], r.model, to, r.state, runs, ago(r.created_ms, now)))
    columns = ("rollout", "model", "to...", "state", ">committed", ">started")
    print_table(columns, rows, nothing="no such rollouts: `edgefleet rollout start MODEL@VERSION --segment NAME`")


@app.command()
def show(
    rollout: Rollout,
    follow: Watch = False,
    devices: Annotated[bool, typer.Option("--devices", help="also show its devices, each with its phase")] = False,
    phase: Annotated[str | None, typer.Option(help="only devices in this phase, for example trial")] = None,
    limit: Limit = None,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show a rollout, wave by wave; with --watch the exit code says how it ended."""
    if phase not in (None, *PHASES):
        raise typer.BadParameter(f"'{phase}' is not a phase: choose one of {', '.join(sorted(PHASES))}")
    with calling(api) as client:
        found = one(client.rollouts, rollout)
        if follow:
            found = watch(client, found, console(stderr=as_json), timeout)
        executions = None
        if devices or phase:
            keep = None if phase is None else lambda e: e.phase == phase
            executions = chosen(partial(client.rollouts.executions, found.id), limit, keep)
        if as_json:
            print_json(found if executions is None else {**plain(found), "executions": plain(executions)})
        else:
            print_rollout(found)
            if executions is not None:
                print_devices(client, found.selector, executions)
    raise typer.Exit(status_of(found) if follow else OK)
