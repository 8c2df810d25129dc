"""Words for windows: when the devices of a region may fetch and switch; and whom a wave waits for."""

from collections.abc import Iterable, Sequence

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import RolloutView
from edgefleet_contract.windows import RegionWindowView, WaitView
from edgefleet_operator.figures import when


def window_facts(windows: Sequence[RegionWindowView]) -> list[tuple[str, str]]:
    """A line for each window, and one that says what holds elsewhere."""
    return [(f"{one.region}: {one.act}", _words(one)) for one in windows] or [("windows", "none: at any time")]


def _words(one: RegionWindowView) -> str:
    local = f"{one.window} in {one.timezone}"
    if not one.intervals:
        return local
    first = one.intervals[0]
    now = f"open until {when(first.to_ms)}" if one.open else f"opens {when(first.from_ms)}, closes {when(first.to_ms)}"
    return f"{local}: {now}"


def wait_lines(rollout: RolloutView) -> Iterable[str]:
    """What each wave waits for, and until when its devices wait for their window."""
    for wave in rollout.waves:
        if wave.waits_for:
            yield f"wave {wave.number} waits: {wave.waits_for}"
        yield from (f"wave {wave.number} waits: {_wait(wait)}" for wait in wave.waits)


def _wait(wait: WaitView) -> str:
    return f"{counted(wait.devices, 'device')} in {wait.region} may {wait.act} from {when(wait.opens_ms)}"
