"""Evidence collected from telemetry windows, each read once, however long a rollout takes."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from edgefleet_controller.records import Evidence
from edgefleet_controller.store.contract.evidence import LATE_MS, MAX_LABELLED, MAX_TIMED, Compared, Gathering
from edgefleet_protocol.counters import Counters, readable
from edgefleet_protocol.moments import Moments

Of = tuple[str, str]
"""A profile and a variant."""


class ArrivedWindow(NamedTuple):
    """A window as evidence sees it; `counters` are read without the histogram, which costs most to decode.

    `latency` is the encoded histogram.
    """

    device: str
    incarnation: str
    seq: int
    received_ms: int
    profile: str | None
    variant: str
    generation: int
    counters: Callable[[], Counters]
    latency: str | None


class EvidenceSnapshot(Protocol):
    """A snapshot of committed telemetry."""

    def arrived(self, model: str, since_ms: int) -> Iterator[ArrivedWindow]:
        """Windows of a model received since then, in any order."""

    def labelled(self, model: str, before_ms: int, at_most: int) -> Iterator[ArrivedWindow]:
        """The newest windows of a model with labels, received before that time."""


@dataclass
class _Kept:
    """What one incarnation of a device measured at one generation."""

    incarnation: str
    generation: int
    counters: Counters = field(default_factory=Counters)


class _Side:
    """One side of a comparison: what each device measured."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._timed: set[str] = set()

    def add(self, window: ArrivedWindow, told: Counters) -> None:
        """Add a window of what its device runs now; what it measured as another incarnation is dropped."""
        device, now = window.device, (window.incarnation, window.generation)
        kept = self._kept.get(device)
        if kept is None or (kept.incarnation, kept.generation) != now:
            kept = self._kept[device] = _Kept(*now)
        kept.counters.add(told)
        if device in self._timed or len(self._timed) < MAX_TIMED:
            self._timed.add(device)
            latency = readable(window.latency)
            # A region may let latencies leave without counts; otherwise more answers than requests are a lie.
            if not 0 < told.serving.requests < latency.count:
                kept.counters.serving.latency.add(latency)

    def told(self, counts: Callable[[str, _Kept], bool]) -> dict[str, Counters]:
        """What the devices that count have measured."""
        return {device: kept.counters for device, kept in self._kept.items() if counts(device, kept)}


class GatheredEvidence(Gathering):
    """The evidence for one rollout.

    Args:
        snapshot: opens a snapshot of the store.
        model: the model's name.
        since_ms: windows received before this only count as `before`.
    """

    def __init__(
        self, snapshot: Callable[[], AbstractContextManager[EvidenceSnapshot]], model: str, since_ms: int
    ) -> None:
        self._snapshot, self._model = snapshot, model
        self._since_ms = self._through_ms = since_ms
        self._seen: dict[tuple[str, str, int], int] = {}
        self._new: defaultdict[Of, _Side] = defaultdict(_Side)
        self._control: defaultdict[Of, _Side] = defaultdict(_Side)
        self._scored: defaultdict[Of, dict[tuple[str, str], Moments]] = defaultdict(dict)
        self._has_looked_back = False

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        with self._snapshot() as snapshot:
            if not self._has_looked_back:
                for window in snapshot.labelled(self._model, self._since_ms, MAX_LABELLED):
                    self._score(window, window.counters())
                self._has_looked_back = True
            for window in self._arrived(snapshot):
                if one := compared.get(window.profile or ""):
                    self._take(window, one)
        return [self._evidence(profile, one) for profile, one in sorted(compared.items())]

    def _arrived(self, snapshot: EvidenceSnapshot) -> Iterator[ArrivedWindow]:
        """Windows that have arrived since the last look."""
        for window in snapshot.arrived(self._model, max(self._since_ms, self._through_ms - LATE_MS)):
            key = (window.device, window.incarnation, window.seq)
            self._through_ms = max(self._through_ms, window.received_ms)
            if key not in self._seen:
                self._seen[key] = window.received_ms
                yield window
        self._seen = {key: at for key, at in self._seen.items() if at >= self._through_ms - LATE_MS}

    def _take(self, window: ArrivedWindow, compared: Compared) -> None:
        if window.incarnation != compared.incarnation(window.device):
            return
        of, told = (window.profile or "", window.variant), window.counters()
        switched = compared.switched.get(window.device)
        if window.variant in compared.before:
            self._score(window, told)
            if switched is None:
                self._control[of].add(window, told)
        elif window.variant == compared.new and switched and window.generation == switched.generation:
            self._new[of].add(window, told)

    def _score(self, window: ArrivedWindow, told: Counters) -> None:
        if window.profile and told.scored.n:
            scored, key = self._scored[window.profile, window.variant], (window.device, window.incarnation)
            scored[key] = scored.get(key, Moments()) + told.scored

    def _evidence(self, profile: str, compared: Compared) -> Evidence:
        def committed(device: str, kept: _Kept) -> bool:
            return compared.switched.get(device) == (kept.incarnation, kept.generation, True)

        def current(device: str, kept: _Kept) -> bool:
            return compared.incarnation(device) == kept.incarnation

        new = self._new.get((profile, compared.new), _Side())
        old = [(profile, variant) for variant in sorted(compared.before)]
        control = [self._control[of].told(current) for of in old if of in self._control]
        return Evidence(profile, new.told(committed), self._before(old, compared), _merged(control))

    def _before(self, old: Collection[Of], compared: Compared) -> dict[str, Moments]:
        before: dict[str, Moments] = {}
        for of in old:
            for (device, incarnation), scored in self._scored.get(of, {}).items():
                if compared.incarnation(device) == incarnation:
                    before[device] = before.get(device, Moments()) + scored
        return before


def _merged(sides: Collection[Mapping[str, Counters]]) -> Mapping[str, Counters]:
    """What devices measured of several variants, by device; of a single variant, as it is."""
    if len(sides) == 1:
        return next(iter(sides))
    merged: defaultdict[str, Counters] = defaultdict(Counters)
    for side in sides:
        for device, counters in side.items():
            merged[device].add(counters)
    return merged
