"""Watches a rollout: live bars on a terminal, plain lines everywhere else."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import BACK, RolloutPhase, RolloutView
from edgefleet_operator.cli.ending import OK, ROLLOUT_FAILED
from edgefleet_operator.cli.waves import DeviceTally, bar, eta_s, phases
from edgefleet_operator.cli.windows import wait_lines
from edgefleet_operator.client import Client
from edgefleet_operator.figures import now_ms, short, span
from edgefleet_operator.short_ids import with_short_ids

QUIET_S = 2.0


def watch(client: Client, rollout: RolloutView, out: Console, timeout_s: float | None) -> RolloutView:
    """Draw a rollout until it has ended or is paused, and return it.

    Raises:
        ApiError: the controller is gone.
        WaitTimeout: the time is up.
    """
    found, looks = rollout, client.rollouts.watch(rollout.id, timeout_s=timeout_s)
    if not out.is_terminal:
        lines = _Lines(out.print)
        for found in looks:
            lines.show(found, way_back(found))
        return found
    with Live(console=out, refresh_per_second=4) as live:
        for found in looks:
            live.update(picture(found, way_back(found), now_ms()))
    return found


def status_of(rollout: RolloutView, good: RolloutPhase = "completed") -> int:
    """The exit code for a rollout that was watched."""
    return OK if rollout.state == good else ROLLOUT_FAILED


def way_back(rollout: RolloutView) -> str | None:
    """How many devices are back, during or after a rollback."""
    told = rollout.counts_back
    back = sum(told.get(phase, 0) for phase in BACK)
    return f"{back} of {counted(sum(told.values()), 'device')} back" if told else None


def ways_back(rollout: RolloutView) -> list[str]:
    """Which variant the devices return to, and why if it is not what ran before."""
    return [
        f"{way.back} of {way.devices} to {f'variant {short(way.variant)}' if way.variant else 'nothing: not ready'}"
        + (f": {with_short_ids(way.why)}" if way.why else "")
        for way in rollout.returns
    ]


def header(rollout: RolloutView) -> str:
    """One line with the rollout's model, target and state."""
    why = f": {rollout.reason}" if rollout.reason else ""
    to = rollout.segment or rollout.selector or "everyone"
    return with_short_ids(f"rollout {rollout.id} of {rollout.model} to {to} is {rollout.state}{why}")


def picture(rollout: RolloutView, way_back: str | None, at_ms: int) -> RenderableType:
    """Everything at a glance: a bar for each wave, the phases of its devices, and the time left."""
    grid = Table.grid(padding=(0, 1))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for wave in rollout.waves:
        tally = DeviceTally.of(wave.counts)
        drawn = Text.assemble(*bar(tally))
        done = f"{tally.ended}/{tally.total}"
        grid.add_row(f"wave {wave.number}", drawn, done, wave.state, phases(wave.counts))
    below = [Text(line, style="dim") for line in (*wait_lines(rollout), *_evidence(rollout))]
    if way_back:
        below += map(Text, (way_back, *ways_back(rollout)))
    if rollout.state == "running":
        below.append(Text(_eta(rollout, at_ms)))
    legend = Text("█ committed  × failed  ▒ under way  · waiting or passed over", style="dim")
    return Group(Text(header(rollout), style="bold"), grid, legend, *below)


def _eta(rollout: RolloutView, at_ms: int) -> str:
    left = eta_s(rollout, at_ms)
    return "ETA: unknown until the first devices are done" if left is None else f"ETA: about {span(left)}"


def _evidence(rollout: RolloutView) -> list[str]:
    return [line for wave in rollout.waves for line in wave.evidence]


class _Lines:
    """Prints a line for every change: of a state at once, of counts alone at most every other second."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._counted = 0.0

    def show(self, rollout: RolloutView, way_back: str | None) -> None:
        """Print what is new."""
        self._once(header(rollout))
        for wave in rollout.waves:
            if wave.state == "pending":
                continue
            state = f"wave {wave.number} {wave.state}"
            counted = f"{state}: {DeviceTally.of(wave.counts)}"
            if state not in self._told or time.monotonic() - self._counted > QUIET_S or rollout.rests:
                self._told.add(state)
                if self._once(counted, f"; {_eta(rollout, now_ms())}" if rollout.state == "running" else ""):
                    self._counted = time.monotonic()
            if wave.state in ("passed", "skipped", "failed", "inconclusive"):
                self._once(f"wave {wave.number} {wave.state} because: {wave.reason}")
        for line in wait_lines(rollout):
            self._once(line)
        for line in _evidence(rollout):
            self._once(f"evidence: {line}")
        if way_back:
            self._once(way_back)

    def _once(self, text: str, more: str = "") -> bool:
        if text in self._told:
            return False
        self._told.add(text)
        self._tell(f"{datetime.now(UTC):%H:%M:%SZ} {text}{more}")
        return True
