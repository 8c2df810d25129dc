"""Watches a rollout: live bars on a terminal, plain lines everywhere else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import ARRIVED, RolloutPhase, RolloutView, WaveView
from edgefleet_operator.cli.ending import OK, ROLLOUT_FAILED
from edgefleet_operator.cli.interrupting import going_on, waiting_for
from edgefleet_operator.cli.waves import DeviceTally, bar, eta_s, fetch_lines, phases, tenths
from edgefleet_operator.cli.windows import wait_lines
from edgefleet_operator.client import Client
from edgefleet_operator.figures import now_ms, short, span
from edgefleet_operator.short_ids import with_short_ids

QUIET_S = 2.0
OVER = ("passed", "skipped", "failed", "inconclusive")
NARROW, NARROW_BAR = 80, 12
"""Below so many columns, the phases stand under their bar, which is shorter."""
OTHER_LINES = 8
"""What else stands on the screen, in lines."""


def watch(client: Client, rollout: RolloutView, out: Console, timeout_s: float | None) -> RolloutView:
    """Draw a rollout until it has ended or is paused, and return it.

    Raises:
        ApiError: the controller is gone.
        WaitInterrupted: the user no longer waits.
        WaitTimeout: the time is up.
    """
    found, looks = rollout, client.rollouts.watch(rollout.id, timeout_s=timeout_s)
    with waiting_for(going_on(rollout)):
        if not out.is_terminal:
            lines = _Lines(out.print)
            for found in looks:
                lines.show(found, way_back(found))
            return found
        with Live(console=out, refresh_per_second=4, vertical_overflow="crop") as live:
            for found in looks:
                live.update(Picture(found, way_back(found), now_ms()))
    return found


def status_of(rollout: RolloutView, good: RolloutPhase = "completed") -> int:
    """The exit code for a rollout that was watched."""
    return OK if rollout.state == good else ROLLOUT_FAILED


def way_back(rollout: RolloutView) -> str | None:
    """How many devices are back, during or after a rollback, and how many were left alone."""
    told = rollout.counts_back
    if not told:
        return None
    back, alone = sum(told.get(phase, 0) for phase in ARRIVED), told.get("superseded", 0)
    said = f"{back} of {counted(sum(told.values()) - alone, 'device')} back"
    return f"{said}, {alone} left alone" if alone else said


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


@dataclass(frozen=True)
class Picture:
    """Everything at a glance: a bar for each wave, the phases of its devices, and the time left."""

    rollout: RolloutView
    way_back: str | None
    at_ms: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for the terminal's size."""
        rollout, narrow = self.rollout, options.max_width < NARROW
        yield Text(header(rollout), style="bold")
        shown = _chosen(rollout.waves, (console.height - OTHER_LINES) // (2 if narrow else 1))
        yield _narrow(shown) if narrow else _wide(shown)
        if more := len(rollout.waves) - len(shown):
            yield Text(f"and {counted(more, 'more wave')}", style="dim")
        yield Text("█ committed  × failed  ▒ under way  · waiting or passed over", style="dim")
        below = [Text(line, style="dim") for line in (*fetch_lines(rollout), *wait_lines(rollout), *_evidence(rollout))]
        if self.way_back:
            below += map(Text, (self.way_back, *ways_back(rollout)))
        if rollout.state == "running":
            below.append(Text(_eta(rollout, self.at_ms)))
        yield from below


def _chosen(waves: Sequence[WaveView], room: int) -> Sequence[WaveView]:
    """The waves that fit, around the one that is under way."""
    if len(waves) <= (room := max(1, room)):
        return waves
    current = next((at for at, wave in enumerate(waves) if wave.state not in OVER), len(waves) - 1)
    first = min(max(0, current - room // 2), len(waves) - room)
    return waves[first : first + room]


def _wide(waves: Sequence[WaveView]) -> Table:
    grid = Table.grid(padding=(0, 1))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for wave in waves:
        tally = DeviceTally.of(wave.counts)
        done = f"{tally.ended}/{tally.total}"
        grid.add_row(f"wave {wave.number}", Text.assemble(*bar(tally)), done, wave.state, phases(wave.counts))
    return grid


def _narrow(waves: Sequence[WaveView]) -> Group:
    lines = []
    for wave in waves:
        tally = DeviceTally.of(wave.counts)
        lines.append(Text.assemble(f"{wave.number} ", *bar(tally, NARROW_BAR), f" {tally.ended}/{tally.total}"))
        lines.append(Text(", ".join(filter(None, (wave.state, phases(wave.counts)))), style="dim"))
    return Group(*lines)


def _eta(rollout: RolloutView, at_ms: int) -> str:
    left = eta_s(rollout, at_ms)
    if left is not None:
        return f"ETA: about {span(left)}"
    if any(wave.fetching for wave in rollout.waves):
        return "ETA: unknown while nobody knows how fast the devices fetch"
    return "ETA: unknown until the first devices are done"


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
            counted = f"{state}: {DeviceTally.of(wave.counts)}{tenths(wave)}"
            if state not in self._told or time.monotonic() - self._counted > QUIET_S or rollout.rests:
                self._told.add(state)
                if self._once(counted, f"; {_eta(rollout, now_ms())}" if rollout.state == "running" else ""):
                    self._counted = time.monotonic()
            if wave.state in OVER:
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
