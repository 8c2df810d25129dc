"""The files to compare, those of peers and ours, and what their figures say of ours beside each peer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.settings import PEERS
from benchmarks.result import Bar, Row, at_most
from benchmarks.timing import Comparison, spread
from edgefleet_contract.metrics import Metrics

OURS = "edgefleet"
BYTES_RATIO, LATENCY_RATIO, POINTS = 1.0, 1.03, 0.2


@dataclass
class PeerCandidate:
    """One file, or why there is none; `made_for` None means that it is the same for every instruction set."""

    side: str
    name: str
    made_for: str | None
    path: Path | None = None
    version: str | None = None
    seconds: float | None = None
    metrics: Metrics | None = None
    plain_bytes: int | None = None
    latency: Comparison | None = None
    reason: str = ""

    def row(self) -> Row:
        """The candidate as a row; what is not known is None."""
        m = self.metrics or Metrics()
        return {
            "side": self.side if self.version is None else f"{self.side} {self.version}",
            "setting": self.name,
            "for": self.made_for or "any",
            "val": m.accuracy_val,
            "test": m.accuracy_test,
            "below teacher on test, points": _points(m),
            "file bytes": m.file_bytes,
            "encoding bytes": m.encoding_bytes,
            "plain zstd-19": self.plain_bytes,
            "latency to fp32": spread(self.latency.ratios) if self.latency else None,
            "A/A": self.latency.aa if self.latency else None,
            "seconds": self.seconds,
            "reason": self.reason,
            "repeats": {"drop": m.drop_test, "drop_ci": m.drop_test_ci, "ratios": _ratios(self.latency)},
        }


def rivals(candidates: Sequence[PeerCandidate], peer: str, instruction_set: str) -> list[PeerCandidate]:
    """The files of a peer that are made for an instruction set and have figures."""
    mine = [c for c in candidates if c.side == peer and c.made_for in (None, instruction_set)]
    return [c for c in mine if c.path is not None and c.metrics is not None]


def bars(
    ours: PeerCandidate | None,
    candidates: Sequence[PeerCandidate],
    beside: Mapping[str, float],
    instruction_set: str,
) -> list[Bar]:
    """Our int8 beside each peer's best in each figure; without a file on either side nothing holds.

    Args:
        ours: our int8 for this instruction set.
        candidates: all files.
        beside: by peer, the latency of ours to that of its fastest.
        instruction_set: what counts as made for it.
    """
    found: list[Bar] = []
    for peer in PEERS:
        theirs = [c.metrics for c in rivals(candidates, peer, instruction_set) if c.metrics]
        own = ours.metrics if ours else None
        sizes = [m.encoding_bytes for m in theirs if m.encoding_bytes]
        right = [m.accuracy_test for m in theirs if m.accuracy_test is not None]
        own_bytes, own_right = (own.encoding_bytes, own.accuracy_test) if own else (None, None)
        ratio = own_bytes / min(sizes) if own_bytes and sizes else None
        lost = 100 * (max(right) - own_right) if own_right is not None and right else None
        found += [
            at_most(f"int8 to {peer}: encoding bytes", BYTES_RATIO, ratio),
            at_most(f"int8 to {peer}: latency", LATENCY_RATIO, beside.get(peer)),
            at_most(f"int8 to {peer}: points lost on test beyond it", POINTS, lost),
        ]
    return found


def _points(metrics: Metrics) -> str | None:
    if metrics.drop_test is None or metrics.drop_test_ci is None:
        return None
    low, high = metrics.drop_test_ci
    return f"{100 * metrics.drop_test:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def _ratios(latency: Comparison | None) -> list[float]:
    return [round(ratio, 4) for ratio in latency.ratios] if latency else []
