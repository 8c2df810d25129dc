"""`edgefleet device label` and `device note`: what operators write on devices."""

from typing import Annotated

import typer

from edgefleet_contract.annotations import AnnotationView
from edgefleet_operator.cli.calling import Api, AsJson, calling
from edgefleet_operator.cli.label_words import WrittenLabels, parse_labels
from edgefleet_operator.client import Client
from edgefleet_operator.printing import print_json

app = typer.Typer()


@app.command()
def label(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DEVICE] KEY=VALUE|KEY-...", help="the device's id, then labels to set, or KEY- to take one away"
        ),
    ],
    selector: Annotated[
        str | None, typer.Option(help="all devices that match, pending ones too, for example 'region=eu,!site'")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="all devices of this segment, pending ones too")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="every device that has reported")] = False,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Set labels on devices, or take away what was set, for selectors and rollouts to see at once.

    A label set here counts before one that the device reports under the same key.
    """
    given = [selector is not None, segment is not None, everyone]
    ways = "an id, --selector SELECTOR, --segment NAME or --all"
    if sum(given) > 1:
        raise typer.BadParameter(f"say which devices in one way: {ways}")
    device, changes = (None, words) if any(given) else (words[0], words[1:])
    if device is not None and ("=" in device or not changes):
        raise typer.BadParameter(f"say which devices, then labels as KEY=VALUE, or KEY- to take one away: {ways}")
    if selector is not None and not selector.strip():
        raise typer.BadParameter("--selector is blank: name the devices, for example region=eu")
    new = parse_labels(changes)
    with calling(api) as client:
        names = [device] if device is not None else _chosen(client, selector, segment)
        done = [client.devices.label(name, new.set, remove=new.remove) for name in names]
    if as_json:
        print_json(done if device is None else done[0])
        return
    for one in done:
        for line in _lines(one, new):
            typer.echo(line)
    if not done:
        typer.echo("no device matches" if selector is None else f"no device matches {selector}")


def _chosen(client: Client, selector: str | None, segment: str | None) -> list[str]:
    """The ids of all devices that are meant, read before any of them changes what it matches."""
    if segment is not None:
        selector = client.segments.get(segment).selector
    return [device.id for device in client.devices.all(selector)]


def _lines(one: AnnotationView, new: WrittenLabels) -> list[str]:
    """What is set on a device now, and what of the change is not as it may seem."""
    is_set = ", ".join(f"{key}={value}" for key, value in sorted(one.set_labels.items())) or "no labels set"
    lines = [f"{one.device}: {is_set}"]
    for key, reported in sorted(one.reported_labels.items()):
        if key in new.remove:
            lines.append(
                f"{one.device} reports {key}={reported} itself, which counts now: its agent's settings have it"
            )
        elif key in new.set and new.set[key] != reported:
            lines.append(f"{one.device} reports {key}={reported} itself, which does not count while {key} is set here")
    return lines


@app.command()
def note(
    device: Annotated[str, typer.Argument(help="the device's id")],
    text: Annotated[str | None, typer.Argument(help="one line of plain text, at most 1,000 characters")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="take the note away")] = False,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Write a note on a device, in place of the one before, for people who look at it."""
    if (text is None) != clear:
        raise typer.BadParameter("say what to note, or --clear")
    with calling(api) as client:
        done = client.devices.note(device, text)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done.device}: {done.note or 'no note'}")
