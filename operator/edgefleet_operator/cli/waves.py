"""Computes how far the waves of a rollout are, and how long the rest may take; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import RolloutView, WaveView
from edgefleet_operator.figures import size, span
from edgefleet_protocol.phases import ENDED_OTHERWISE, FAILED

BAR = 30


@dataclass(frozen=True)
class DeviceTally:
    """The devices of a wave or a rollout, counted by state."""

    committed: int
    under_way: int
    failed: int
    waiting: int
    passed_over: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "DeviceTally":
        """Tally the counts of phases."""
        failed = sum(n for phase, n in counts.items() if phase in FAILED)
        passed_over = sum(n for phase, n in counts.items() if phase in ENDED_OTHERWISE)
        committed, waiting = counts.get("committed", 0), counts.get("assigned", 0)
        under_way = sum(counts.values()) - failed - passed_over - committed - waiting
        return cls(committed, under_way, failed, waiting, passed_over)

    @property
    def total(self) -> int:
        """All devices."""
        return self.committed + self.under_way + self.failed + self.waiting + self.passed_over

    @property
    def ended(self) -> int:
        """Devices that will not change any more."""
        return self.committed + self.failed + self.passed_over

    def __str__(self) -> str:
        more = (f", {self.waiting} waiting" if self.waiting else "") + (
            f", {self.passed_over} passed over" if self.passed_over else ""
        )
        return f"{self.committed} committed, {self.under_way} under way, {self.failed} failed{more}, of {self.total}"


def bar(tally: DeviceTally, width: int = BAR) -> Iterator[tuple[str, str]]:
    """The pieces of a bar with their colours; readable without colours too."""
    numbers = (tally.committed, tally.failed, tally.under_way)
    lengths = [max(round(width * n / max(1, tally.total)), 1 if n else 0) for n in numbers]
    while sum(lengths) > width:
        lengths[lengths.index(max(lengths))] -= 1
    for length, sign, colour in zip(lengths, "█×▒", ("green", "red", "yellow"), strict=True):
        yield sign * length, colour
    yield "·" * (width - sum(lengths)), "dim"


def phases(counts: Mapping[str, int]) -> str:
    """Format counts of phases, as in `2 staged, 1 trial`."""
    return ", ".join(f"{n} {phase}" for phase, n in counts.items() if n)


def fetch_lines(rollout: RolloutView) -> Iterator[str]:
    """How far the downloads of each wave are."""
    for wave in rollout.waves:
        if so_far := wave.fetching:
            left = f", about {span(so_far.left_s)} to go" if so_far.left_s is not None else ""
            got = f"{size(so_far.bytes_done)} of {size(so_far.bytes_total)}"
            yield f"wave {wave.number}: {counted(so_far.devices, 'device')} fetching, {got}{left}"


def tenths(wave: WaveView) -> str:
    """How far the downloads of a wave are, in whole tenths, for lines of which each is printed once."""
    if wave.fetching is None or not wave.fetching.bytes_total:
        return ""
    share = 10 * (10 * wave.fetching.bytes_done // wave.fetching.bytes_total)
    return f", fetched {share} % of {size(wave.fetching.bytes_total)}"


def eta_s(rollout: RolloutView, now_ms: int) -> float | None:
    """Estimate the seconds left from the pace of the waves so far; None while unknown.

    Every wave soaks for as long as the gate asks. How long its devices take before that is estimated from the waves
    that have passed, or from the share of this wave's devices that are done; while some fetch, from what they have yet
    to fetch and the rates of their links, and nothing is promised if one of these is unknown.
    """
    if rollout.state != "running":
        return None
    soak_s = float(rollout.spec.gate.soak_s)
    active: list[float] = []
    left = 0.0
    for wave in rollout.waves:
        if wave.state == "skipped":
            continue
        if wave.state == "passed":
            active.append(max(0.0, _span_s(wave, wave.since_ms) - soak_s))
            continue
        tally = DeviceTally.of(wave.counts)
        spent_s = 0.0 if wave.state == "pending" else _span_s(wave, now_ms)
        if wave.state == "soaking":
            left += max(0.0, soak_s - (now_ms - wave.since_ms) / 1000)
            active.append(max(0.0, _span_s(wave, wave.since_ms)))
            continue
        if spent_s and tally.ended:
            active.append(spent_s * tally.total / tally.ended)
        fetch_s = 0.0
        if wave.fetching:
            if wave.fetching.left_s is None:
                return None
            fetch_s = wave.fetching.left_s + rollout.spec.timers.trial_s
            active.append(spent_s + fetch_s)
        if not active:
            return None
        left += max(fetch_s, sum(active) / len(active) - spent_s) + soak_s
    return left


def _span_s(wave: WaveView, until_ms: int) -> float:
    started_ms = wave.started_ms if wave.started_ms is not None else wave.since_ms
    return float(until_ms - started_ms) / 1000
