"""`edgefleet doctor`: is everything well, and if not, what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import typer

from edgefleet_contract.devices import DeviceModelView, DeviceView
from edgefleet_contract.health import HealthView
from edgefleet_operator.cli.calling import Api, AsJson, calling
from edgefleet_operator.cli.ending import OK, REFUSED
from edgefleet_operator.cli.figures import now_ms, size, span
from edgefleet_operator.cli.printing import print_json, print_table
from edgefleet_operator.client import Client
from edgefleet_operator.errors import ApiError

FREE_BYTES = 1_000_000_000
CLOCK_S = 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `do` says what to do if it is not well."""

    name: str
    ok: bool
    found: str
    do: str = ""


def doctor(api: Api = None, as_json: AsJson = False) -> None:
    """Check the controller, its broker, its disk, the clocks and the versions; exit code 1 if something is wrong."""
    with calling(api) as client:
        checks = list(_checks(client))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [(c.name, "ok" if c.ok else "WRONG", c.found if c.ok else f"{c.found}: {c.do}") for c in checks]
        print_table(("check", "", "found..."), rows)
    raise typer.Exit(OK if all(check.ok for check in checks) else REFUSED)


def _checks(client: Client) -> Iterator[Check]:
    asked_ms = now_ms()
    try:
        health = client.health()
    except ApiError as error:
        yield Check("api", False, str(error), "start it with `edgefleet serve`, or name another one with --api")
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
    yield check_generations(devices)


def check_broker(health: HealthView) -> Check:
    """Whether the controller hears its broker."""
    heard = health.status == "ok"
    found = f"{health.broker} is {'heard' if heard else 'not heard'}"
    return Check(
        "broker", heard, found, "see that it runs and that the controller may log in; see the controller's log"
    )


def check_state(health: HealthView) -> Check:
    """Whether the controller can go on writing."""
    state = health.state
    found = f"{size(state.free_bytes)} free, {'' if state.writable else 'not '}writable"
    well = state.writable and state.free_bytes >= FREE_BYTES
    return Check(
        "state folder", well, found, f"make room or let the controller write there; {size(FREE_BYTES)} are needed"
    )


def check_blobs(health: HealthView) -> Check:
    """Whether everything that devices asked for could be sent."""
    damaged = health.damaged_blobs
    found = f"{len(damaged)} of those that devices want are damaged, as {damaged[0]}" if damaged else "none is damaged"
    return Check("blobs", not damaged, found, "compress the paused rollouts' models again and resume, see its disk")


def check_clock(health: HealthView, at_ms: int) -> Check:
    """Whether this machine and the controller's agree about the time."""
    apart_s = abs(health.now_ms - at_ms) / 1000
    found = f"{span(apart_s)} between this clock and the controller's"
    return Check(
        "clock",
        apart_s <= CLOCK_S,
        found,
        "set both by NTP; the controller follows slowly, or at its next start if its machine's clock is ahead",
    )


def check_version(controllers: str, ours: str) -> Check:
    """Whether the command and the controller are of one version."""
    found = f"controller {controllers}, this command {ours}"
    return Check("version", controllers == ours, found, "install the controller's version here")


def check_messages(health: HealthView) -> Check:
    """Whether messages could not be read."""
    aside = health.set_aside
    if not aside:
        return Check("messages", True, "every message could be read")
    last = f"the last one on {aside[-1].topic}: {aside[-1].why}"
    return Check("messages", False, f"{len(aside)} set aside", f"see which agent sends them and upgrade it; {last}")


def check_devices(devices: Sequence[DeviceView]) -> Check:
    """Who is there; to be off line or to wait is no fault of the controller's."""
    pending = [d.id for d in devices if d.status == "pending"]
    found = f"{sum(d.online for d in devices)} of {len(devices)} online"
    waiting = f"; {len(pending)} pending: `edgefleet device accept {pending[0]}`" if pending else ""
    return Check("devices", True, f"{found}{waiting}")


def check_identities(devices: Sequence[DeviceView]) -> Check:
    """Whether two agents report under one device id."""
    twice = [d.id for d in devices if d.conflict]
    if not twice:
        return Check("identities", True, "every id is one agent's")
    do = "give one agent of each an id and a state folder of its own; see `edgefleet device show`"
    return Check("identities", False, f"two agents report as {_named(twice)}", do)


def check_generations(devices: Sequence[DeviceView]) -> Check:
    """Whether a device was told what this controller knows nothing of, as after a restore."""
    accepted = [d for d in devices if d.status == "accepted"]
    ahead = [d.id for d in accepted if any(_is_ahead(model) for model in d.models.values())]
    if not ahead:
        return Check("generations", True, "no device is ahead of the store")
    do = "it was restored, or others gave it to them: start a rollout of what they should run"
    return Check("generations", False, f"{_named(ahead)} are ahead of the store", do)


def _is_ahead(model: DeviceModelView) -> bool:
    return model.generation > (model.desired_generation or 0)


def _named(devices: Sequence[str]) -> str:
    more = len(devices) - 5
    return ", ".join(devices[:5]) + (f" and {more} more" if more > 0 else "")
