"""`edgefleet doctor`: checks the controller and its fleet, and says what to do about each fault."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import typer

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.counted import agreeing
from edgefleet_contract.devices import DeviceModelView, DeviceView
from edgefleet_contract.health import HealthView
from edgefleet_contract.rollouts import RolloutView
from edgefleet_operator.cli.calling import Api, AsJson, calling
from edgefleet_operator.cli.ending import OK, REFUSED
from edgefleet_operator.client import Client
from edgefleet_operator.errors import ApiError, NoAnswer, NotFound, Unauthorized
from edgefleet_operator.figures import count, now_ms, size, span
from edgefleet_operator.printing import print_json, print_table
from edgefleet_operator.short_ids import short_ids

FREE_BYTES = 1_000_000_000
CLOCK_S = 5.0


@dataclass(frozen=True)
class Check:
    """The result of one check; `do` says what to do if it failed."""

    name: str
    ok: bool
    found: str
    do: str = ""


def doctor(api: Api = None, as_json: AsJson = False) -> None:
    """Check the controller, its broker, its disk, the clocks and the versions; exit code 1 if something is wrong."""
    with calling(api) as client:
        checks = list(_checks(client))
    if as_json:
        print_json([asdict(check if not check.ok else replace(check, do="")) for check in checks])
    else:
        rows = [(c.name, "ok" if c.ok else "WRONG", c.found if c.ok else f"{c.found}: {c.do}") for c in checks]
        print_table(("check", "", "found..."), rows)
    raise typer.Exit(OK if all(check.ok for check in checks) else REFUSED)


def _checks(client: Client) -> Iterator[Check]:
    asked_ms = now_ms()
    try:
        health = client.health()
    except ApiError as error:
        yield Check("api", False, str(error), _reach(error))
        return
    answered_ms = now_ms()
    yield Check("api", True, f"{client.url} answers in {answered_ms - asked_ms} ms")
    yield check_broker(health)
    yield check_state(health)
    yield check_blobs(health)
    yield check_clock(health, (asked_ms + answered_ms) // 2)
    yield check_version(str(health.version), version("edgefleet"))
    yield check_messages(health)
    devices = list(client.devices.all())
    yield check_devices(devices)
    yield check_identities(devices)
    yield check_likeness(devices)
    yield check_generations(devices)
    yield check_rollouts(list(client.rollouts.all()))
    yield _alerts(client)


def _reach(error: ApiError) -> str:
    if isinstance(error, Unauthorized):
        return "set EDGEFLEET_TOKEN to the token that the controller printed"
    if isinstance(error, NoAnswer):
        return "start it with `edgefleet serve`, or name another one with --api"
    return "name a controller with --api, or look into its log"


def check_broker(health: HealthView) -> Check:
    """Check that the controller is connected to its broker."""
    heard = health.status == "ok"
    found = f"{'connected' if heard else 'not connected'} to {health.broker}"
    if health.broker in health.brokers[1:]:
        found += f", number {health.brokers.index(health.broker) + 1} of {len(health.brokers)}"
    return Check("broker", heard, found, "start it, or let the controller log in; the controller's log has the reason")


def check_state(health: HealthView) -> Check:
    """Check that the controller can write its state, with room to spare."""
    state = health.state
    found = f"{size(state.free_bytes)} free, {'' if state.writable else 'not '}writable"
    well = state.writable and state.free_bytes >= FREE_BYTES
    return Check("state folder", well, found, f"free {size(FREE_BYTES)}, and let the controller write there")


def check_blobs(health: HealthView) -> Check:
    """Check that the blobs that devices asked for are intact."""
    damaged = health.damaged_blobs
    found = f"{len(damaged)} damaged that devices want, for example {damaged[0]}" if damaged else "none damaged"
    do = "check the controller's disk, compress the models of paused rollouts again, and resume"
    return Check("blobs", not damaged, found, do)


def check_clock(health: HealthView, at_ms: int) -> Check:
    """Check that this machine's clock and the controller's agree."""
    apart_s = abs(health.now_ms - at_ms) / 1000
    found = f"{span(apart_s)} between this clock and the controller's"
    return Check(
        "clock",
        apart_s <= CLOCK_S,
        found,
        "set both by NTP; the controller adjusts slowly, or at its next start if its machine's clock is ahead",
    )


def check_version(controllers: str, ours: str) -> Check:
    """Check that this command and the controller have the same version."""
    found = f"controller {controllers}, this command {ours}"
    return Check("version", controllers == ours, found, "install the controller's version here")


def check_messages(health: HealthView) -> Check:
    """Check that every message could be read."""
    aside = health.set_aside
    if not aside:
        return Check("messages", True, "every message could be read")
    last = f"the last one on {aside[-1].topic}: {aside[-1].why}"
    found = f"{count(health.messages.get('set_aside', len(aside)))} set aside"
    return Check("messages", False, found, f"find the agent that sends them and upgrade it; {last}")


def check_devices(devices: Sequence[DeviceView]) -> Check:
    """Count the devices; offline or pending devices aren't the controller's fault."""
    pending = [d.id for d in devices if d.status == "pending"]
    found = f"{sum(d.online for d in devices)} of {len(devices)} online"
    waiting = f"; {len(pending)} pending: `edgefleet device accept {pending[0]}`" if pending else ""
    return Check("devices", True, f"{found}{waiting}")


def check_identities(devices: Sequence[DeviceView]) -> Check:
    """Check that no two agents report under one device id."""
    twice = [d.id for d in devices if d.conflict]
    if not twice:
        return Check("identities", True, "no id is used by two agents")
    do = "give one agent of each pair its own id and state folder; see `edgefleet device show`"
    return Check("identities", False, f"two agents report as {_named(twice)}", do)


def check_likeness(devices: Sequence[DeviceView]) -> Check:
    """Check that every device is what it was added as, and what the catalogue says of its hardware."""
    unlike = [d for d in devices if d.unlike]
    if not unlike:
        return Check("profiles", True, "every device is what its profile says")
    are = agreeing(len(unlike), "is not what its profile says", "are not what their profiles say")
    example = f", for example {unlike[0].id}" if unlike[1:] else ""
    found = f"{_named([d.id for d in unlike])} {are}{example}"
    return Check("profiles", False, found, unlike[0].unlike[0])


def check_generations(devices: Sequence[DeviceView]) -> Check:
    """Check that no device has a generation that the store doesn't know, as after a restore."""
    accepted = [d for d in devices if d.status == "accepted"]
    ahead = [(d.id, model) for d in accepted for model in d.models.values() if _is_ahead(model)]
    if not ahead:
        return Check("generations", True, "no device is ahead of the store")
    names = list(dict.fromkeys(device for device, _ in ahead))
    found = f"{_named(names)} {agreeing(len(names), 'is', 'are')} ahead of the store"
    if all(model.desired_generation is None for _, model in ahead):
        back = agreeing(len(names), "it was removed and has come back", "they were removed and have come back")
        why = f"{back}, or the store was restored"
        found += ", which has told nothing of what runs there"
    else:
        why = "the store was restored, or another controller changed what runs there"
    return Check("generations", False, found, f"{why}: start a rollout of what should run there")


def check_rollouts(rollouts: Sequence[RolloutView]) -> Check:
    """Check that no rollout waits for somebody: it owns its devices until it is resumed or ended."""
    paused = [r for r in rollouts if r.state == "paused"]
    if not paused:
        return Check("rollouts", True, "none is paused")
    ids = short_ids(r.id for r in rollouts)
    first, shown = paused[0], ids[paused[0].id]
    more = f" and {len(paused) - 1:,} more are" if paused[1:] else " is"
    why = f": {first.reason}" if first.reason else ""
    do = f"look at `edgefleet rollout show {shown}`, then resume, abort or rollback it"
    return Check("rollouts", False, f"{shown} of {first.model}{more} paused{why}", do)


def _alerts(client: Client) -> Check:
    try:
        return check_alerts(list(client.alerts.all("open")))
    except NotFound:
        return Check("alerts", True, "this controller is older, and raises none")


def check_alerts(alerts: Sequence[AlertRecord]) -> Check:
    """Check that no alert is open."""
    if not alerts:
        return Check("alerts", True, "none open")
    more = f" and {len(alerts) - 1} more: `edgefleet alert list`" if len(alerts) > 1 else ""
    return Check("alerts", False, f"{alerts[0].text}{more}", alerts[0].do)


def _is_ahead(model: DeviceModelView) -> bool:
    return model.generation > (model.desired_generation or 0)


def _named(devices: Sequence[str]) -> str:
    more = len(devices) - 5
    return ", ".join(devices[:5]) + (f" and {more} more" if more > 0 else "")
