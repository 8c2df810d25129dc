"""`edgefleet segment`: named selectors over devices."""

from typing import Annotated

import typer

from edgefleet_contract.counted import counted
from edgefleet_operator.cli.calling import Api, AsJson, Limit, calling
from edgefleet_operator.cli.device import print_devices
from edgefleet_operator.figures import count
from edgefleet_operator.printing import console, plain, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Name parts of the fleet with selectors.")
SegmentArgument = Annotated[str, typer.Argument(help="the segment's name")]


@app.command()
def save(
    name: SegmentArgument,
    selector: Annotated[str, typer.Argument(help="for example 'region=eu,hardware in (rpi4,rpi5),!metered'")],
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Save a segment, or give it another selector."""
    with calling(api) as client:
        saved = client.segments.save(name, selector)
    if as_json:
        print_json(saved)
    else:
        console().print(f"{saved.name}: {saved.selector or 'everything'}, {counted(saved.devices, 'device')} now")
        for doubt in saved.doubts:
            console().print(doubt)


@app.command("list")
def list_segments(limit: Limit = None, api: Api = None, as_json: AsJson = False) -> None:
    """List segments, each with its current number of devices."""
    with calling(api) as client:
        found = list(client.segments.all(limit))
    if as_json:
        print_json(found)
        return
    rows = [(s.name, count(s.devices), s.selector or "everything") for s in found]
    nothing = "no segments yet: `edgefleet segment save NAME SELECTOR`"
    print_table(("segment", ">devices", "selector..."), rows, nothing=nothing)


@app.command()
def show(name: SegmentArgument, limit: Limit = None, api: Api = None, as_json: AsJson = False) -> None:
    """Show a segment and its current devices."""
    with calling(api) as client:
        found = client.segments.get(name)
        devices = list(client.devices.all(found.selector, limit=limit))
        if as_json:
            print_json({**plain(found), "members": [d.id for d in devices]})
            return
        print_facts(
            [
                ("segment", found.name),
                ("selector", found.selector or "everything"),
                ("devices", count(found.devices)),
                *(("", doubt) for doubt in found.doubts),
            ]
        )
        print_devices(client, devices)


@app.command()
def remove(name: SegmentArgument, api: Api = None) -> None:
    """Forget a segment; its devices, and rollouts that were started for it, stay as they are."""
    with calling(api) as client:
        client.segments.remove(name)
    typer.echo(f"{name} was removed")
