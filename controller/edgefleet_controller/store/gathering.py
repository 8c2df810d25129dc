"""Evidence collected from telemetry windows, each read once, however long a rollout takes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from edgefleet_controller.records import Evidence
from edgefleet_controller.store.contract.evidence import LATE_MS, Compared, Gathering
from edgefleet_protocol.counters import Counters, readable

Of = tuple[str | None, str]
"""A profile, or None for windows without one, and a variant."""


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
    counters: Callable[[], Counters]
    latency: str | None


class EvidenceSnapshot(Protocol):
    """A snapshot of committed telemetry."""

    def arrived(self, model: str, since_ms: int) -> Iterator[ArrivedWindow]:
        """Windows of a model received since then, in any order."""

    def ever(self, model: str) -> dict[Of, Counters]:
        """All that was ever measured of a model, from windows and roll-ups, by profile and variant; no histograms."""


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
        self._new: defaultdict[Of, Counters] = defaultdict(Counters)
        self._control: defaultdict[Of, Counters] = defaultdict(Counters)
        self._ever: defaultdict[Of, Counters] | None = None

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        with self._snapshot() as snapshot:
            for window in self._arrived(snapshot):
                self._take(window, compared.get(window.profile or ""))
            if self._ever is None:
                self._ever = defaultdict(Counters, snapshot.ever(self._model))
        return [self._evidence(profile, which) for profile, which in sorted(compared.items())]

    def _arrived(self, snapshot: EvidenceSnapshot) -> Iterator[ArrivedWindow]:
        """Windows that have arrived since the last look."""
        for window in snapshot.arrived(self._model, max(self._since_ms, self._through_ms - LATE_MS)):
            key = (window.device, window.incarnation, window.seq)
            self._through_ms = max(self._through_ms, window.received_ms)
            if key not in self._seen:
                self._seen[key] = window.received_ms
                yield window
        self._seen = {key: at for key, at in self._seen.items() if at >= self._through_ms - LATE_MS}

    def _take(self, window: ArrivedWindow, compared: Compared | None) -> None:
        of, told = (window.profile, window.variant), window.counters()
        if self._ever is not None:
            self._ever[of].add(told)
        known = self._side(window, compared) if compared else None
        if known is not None:
            known[of].add(told)
            known[of].serving.latency.add(readable(window.latency))

    def _side(self, window: ArrivedWindow, compared: Compared) -> defaultdict[Of, Counters] | None:
        """Where else a window counts: for the new variant, for the control, or nowhere."""
        if window.variant == compared.new:
            return self._new
        is_control = window.variant in compared.before and window.device not in compared.exposed
        return self._control if is_control else None

    def _evidence(self, profile: str, compared: Compared) -> Evidence:
        before: list[Of] = [(profile, variant) for variant in sorted(compared.before)]
        return Evidence(
            profile,
            new=_merged(self._new, [(profile, compared.new)]),
            before=_merged(self._ever or {}, before),
            control=_merged(self._control, before),
        )


def _merged(known: Mapping[Of, Counters], wanted: list[Of]) -> Counters:
    """The counters of these keys, merged; a single one is returned as it is."""
    found = [known[of] for of in wanted if of in known]
    if len(found) == 1:
        return found[0]
    merged = Counters()
    for one in found:
        merged.add(one)
    return merged
