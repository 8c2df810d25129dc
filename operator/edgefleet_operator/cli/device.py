"""`edgefleet device`: the fleet, as its devices last reported."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from edgefleet_contract.counted import counted
from edgefleet_contract.devices import AdmissionRecord, ConflictRecord, DeviceModelView, DeviceView
from edgefleet_operator.cli import annotating
from edgefleet_operator.cli.calling import Api, AsJson, Limit, calling, chosen
from edgefleet_operator.client import Client
from edgefleet_operator.figures import NONE, ago, marked, now_ms, number, progress, when
from edgefleet_operator.printing import console, print_facts, print_json, print_table
from edgefleet_profiles.selector import PROFILE_LABELS, compile_selector
from edgefleet_profiles.selector_doubts import doubts, known_labels
from edgefleet_protocol.messages import Facts, HostFacts, MemoryBudget

app = typer.Typer(no_args_is_help=True, help="Add, show, accept, label and remove devices.")


DeviceArgument = Annotated[str, typer.Argument(help="the device's id")]


@app.command()
def add(
    profile: Annotated[
        str, typer.Option(metavar="REGION/HARDWARE/LINK", help="the device's profile, for example eu/rpi4/lte")
    ],
    name: Annotated[str | None, typer.Option("--id", help="the device's id; default: a new one")] = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Add a device, and print the one line to run on it."""
    with calling(api) as client:
        added = client.devices.add(profile, name)
    if as_json:
        print_json(added)
    else:
        typer.echo(f"# {added.id} is expected as {added.profile}; run this on it:")
        typer.echo(added.command)


@app.command()
def accept(
    device: Annotated[str | None, typer.Argument(help="the device's id")] = None,
    selector: Annotated[
        str | None, typer.Option(help="all pending devices that match, for example 'region=eu,site=oslo'")
    ] = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Accept a device that reported without being added first, or all of them that match a selector."""
    if (device is None) == (selector is None):
        raise typer.BadParameter("say which devices: give an id or --selector SELECTOR")
    if selector is not None and not selector.strip():
        raise typer.BadParameter("--selector is blank: name the devices, for example region=eu")
    with calling(api) as client:
        names = [device] if device is not None else [d.id for d in client.devices.all(selector, status="pending")]
        accepted = [client.devices.accept(name) for name in names]
        slips = _doubts(client, selector) if selector and not accepted else []
    if as_json:
        print_json(accepted if device is None else accepted[0])
        return
    for one in accepted:
        typer.echo(f"{one.id} is {one.status}")
    if not accepted:
        typer.echo("; ".join((f"no pending device matches {selector}", *slips)))


app.add_typer(annotating.app)


@app.command()
def remove(device: DeviceArgument, api: Api = None) -> None:
    """Forget everything about a device; if it reports again, it is pending."""
    with calling(api) as client:
        client.devices.remove(device)
    typer.echo(f"{device} was removed")


@app.command("list")
def list_devices(
    selector: Annotated[
        str | None, typer.Option(help="only devices that match, for example 'region=eu,hardware in (rpi4,rpi5)'")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="only the devices of this segment")] = None,
    status: Annotated[
        Literal["pending", "accepted", "expected"] | None,
        typer.Option(help="only devices with this status; expected: added, and not joined yet"),
    ] = None,
    online: Annotated[bool, typer.Option("--online", help="only devices that are online")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="only devices that are offline")] = False,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List devices: what they are, whether they are online, and what they run; last those that have not joined yet."""
    if selector is not None and segment is not None:
        raise typer.BadParameter("give --selector or --segment, not both")
    if online and offline:
        raise typer.BadParameter("no device is both: give --online or --offline, or neither for all")
    filtered = (selector, segment) != (None, None) or online or offline
    if status == "expected" and filtered:
        raise typer.BadParameter("nothing is known of devices that have not joined: give --status expected alone")
    keep = (lambda d: d.online is online) if online or offline else None
    with calling(api) as client:
        if status == "expected":
            expected = list(client.devices.expected(limit))
            if as_json:
                print_json(expected)
            else:
                print_devices(client, [], expected)
            return
        if segment is not None:
            selector = client.segments.get(segment).selector
        found = chosen(lambda most: client.devices.all(selector, status=status, limit=most), limit, keep)
        if as_json:
            print_json(found)
        elif not found and selector:
            console().print("; ".join(("no devices", *_doubts(client, selector))))
        else:
            left = None if limit is None else limit - len(found)
            print_devices(client, found, () if filtered or status else list(client.devices.expected())[:left])


def _doubts(client: Client, selector: str) -> list[str]:
    """What in a selector no device has, nor the catalogue: perhaps a slip."""
    profiles = (str(one.profile) for one in client.profiles.all())
    seen = (device.labels for device in client.devices.all())
    return list(doubts(compile_selector(selector), known_labels(profiles, seen)))


def print_devices(client: Client, devices: Sequence[DeviceView], expected: Sequence[AdmissionRecord] = ()) -> None:
    """Print devices, with the recipe that each one runs, and those that were added and have not joined yet."""
    recipes = {(v.id, v.model): v.recipe for v in client.variants.all()} if devices else {}
    now = now_ms()
    rows = []
    for d in devices:
        answering = [
            (m.answering.variant, f"{name}@{m.answering.model_version}") for name, m in d.models.items() if m.answering
        ]
        phases = [m.attempt.phase for m in d.models.values() if m.attempt]
        rows.append(
            (
                *(d.id, marked(d.profile, d.simulated), _state(d)),
                *(
                    ago(d.last_seen_ms, now),
                    ", ".join(f"{ref} {recipes.get((v, ref), v[:12])}" for v, ref in answering) or "not ready",
                ),
                ", ".join(phases) or NONE,
            )
        )
    rows += [(one.device, one.profile or NONE, "not joined", NONE, NONE, NONE) for one in expected]
    columns = ("device", "profile", "state", ">last seen", "answering...", "last attempt")
    notes = (
        *(("(sim): simulated hardware",) if any(d.simulated for d in devices) else ()),
        *(("not joined: it was added, and its agent has not reported yet",) if expected else ()),
    )
    print_table(columns, rows, caption="; ".join(notes), nothing="no devices")


@app.command()
def show(device: DeviceArgument, api: Api = None, as_json: AsJson = False) -> None:
    """Show a device: its facts and labels, and what answers, its slots and its last attempt, for each model."""
    with calling(api) as client:
        found = client.devices.get(device)
    if as_json:
        print_json(found)
        return
    now = now_ms()
    print_facts(
        [
            ("device", found.id),
            ("profile", marked(found.profile, found.simulated)),
            ("class", found.device_class or "unknown: the catalogue has no such profile"),
            ("state", f"{_state(found)}, last seen {ago(found.last_seen_ms, now)}"),
            *_conflict(found.conflict, now),
            *(("unlike", how) for how in found.unlike),
            ("known since", when(found.first_seen_ms)),
            ("agent", f"{found.agent_version}, boot {found.boot}, incarnation {found.incarnation}"),
            ("endpoint", found.endpoint or NONE),
            *((("link measured", number(found.measured_kbps, "kbit/s")),) if found.measured_kbps else ()),
            ("providers", ", ".join(found.facts.providers) or NONE),
            *(("", state.told) for state in found.facts.probed),
            *_labels(found),
            *((("note", found.note),) if found.note else ()),
            ("memory for models", _budget(found.facts.memory)),
            *_facts("facts", found.facts),
            *(_facts("host", found.host_facts) if found.host_facts else ()),
            (
                "telemetry",
                f"{counted(found.spooled_windows, 'window')} waiting, {found.dropped_windows:,} dropped, "
                f"{found.lost_windows} never received",
            ),
            *((("disk", f"cannot be written: {found.disk_trouble}"),) if found.disk_trouble else ()),
            ("set aside", f"{counted(found.set_aside, 'message')} that the device could not read"),
        ]
    )
    for name, model in found.models.items():
        _print_model(name, model)


def _state(device: DeviceView) -> str:
    heard = "online" if device.online else "offline"
    also = (("pending", device.status == "pending"), ("conflict", device.conflict), ("UNLIKE", device.unlike))
    return ", ".join([heard, *(word for word, is_so in also if is_so)])


def _labels(device: DeviceView) -> list[tuple[str, str]]:
    """List what selectors see, one line for each origin."""
    reported, given = device.reported_labels, device.set_labels
    origins = {
        "its profile": device.labels.keys() & PROFILE_LABELS,
        "set here": given.keys(),
        "it reports": reported.keys() - given.keys() - PROFILE_LABELS,
    }
    lines = []
    for origin, keys in origins.items():
        shown = [f"{key}={device.labels[key]}{_beside(key, device)}" for key in sorted(keys)]
        lines += [f"{origin}: {', '.join(shown)}"] if shown else []
    return [("" if n else "labels", line) for n, line in enumerate(lines)]


def _beside(key: str, device: DeviceView) -> str:
    """What a device reports under a key that counts as something else."""
    reported = device.reported_labels.get(key)
    return "" if reported in (None, device.labels[key]) else f" (it reports {reported})"


def _conflict(conflict: ConflictRecord | None, now: int) -> list[tuple[str, str]]:
    """List the agents that report under one id, one per line."""
    if conflict is None:
        return []
    who = [f"{heard.incarnation}, last seen {ago(heard.last_seen_ms, now)}" for heard in conflict.incarnations]
    rows = [
        ("conflict", f"since {when(conflict.since_ms)}: two agents report under this id"),
        *(("", w) for w in who),
    ]
    return [*rows, ("", "give one of them its own id and state folder; until then rollouts pass over this device")]


def _budget(memory: MemoryBudget | None) -> str:
    if memory is None:
        return "not reported by its agent"
    each = f"the agent {memory.agent_mb} MB and each model {memory.worker_mb} MB and its own"
    return f"{memory.budget_mb} MB, of which {each}"


def _facts(title: str, facts: Facts | HostFacts) -> list[tuple[str, str]]:
    units = {"ram_mb": "MB", "storage_mb": "MB"}
    shown = (f"{k} {number(v, units.get(k, ''))}" for k, v in facts if isinstance(v, str | int | float))
    return [(title, ", ".join(shown))]


def _print_model(name: str, model: DeviceModelView) -> None:
    answering, attempt = model.answering, model.attempt
    wanted = "" if model.desired_generation is None else f", desired {model.desired_generation}"
    rows = [("answering", f"variant {answering.variant[:12]}" if answering else "nothing: not ready")]
    if attempt:
        why = ": ".join(filter(None, (attempt.reason, attempt.detail)))
        rows.append(("last attempt", f"{attempt.phase}{f' ({why})' if why else ''}"))
        arrived = attempt.transfer
        if arrived.bytes_total:
            wrong = f", {counted(arrived.wrong_chunks, 'wrong chunk')}" if arrived.wrong_chunks else ""
            so_far = progress(arrived.bytes_done, arrived.bytes_total, arrived.seconds)
            rows.append(("transfer", f"{so_far}{wrong}"))
    if lost := model.lost:
        rows.append(("lost", f"variant {lost.variant[:12]} ({lost.reason}: {lost.detail})"))
    rows.append(("slots", ", ".join(slot.variant[:12] for slot in model.slots) or "none"))
    rows += [("runs on", f"{slot.variant[:12]}: {slot.ran_on.told}") for slot in model.slots if slot.ran_on]
    print_facts([("", ""), (name, f"generation {model.generation}{wanted}"), *rows])
