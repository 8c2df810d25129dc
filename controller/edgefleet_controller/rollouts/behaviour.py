"""Whether a new variant behaves well: pure statistical tests on what devices measured, profile by profile."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from edgefleet_contract.rollouts import Gate
from edgefleet_controller.records import Evidence
from edgefleet_protocol.counters import Moments

_NORMAL = NormalDist()
SLOWEST = 0.05
"""The share of answers slower than their own p95, by definition."""


@dataclass(frozen=True)
class Finding:
    """The result of one test, in words, and whether it counts against the variant."""

    against: bool
    words: str


def examine(gate: Gate, evidence: Evidence) -> list[Finding]:
    """The findings of all tests with enough evidence."""
    tests = (_accuracy(gate, evidence), _errors(gate, evidence), _latency(gate, evidence))
    return [finding for finding in tests if finding]


def _accuracy(gate: Gate, evidence: Evidence) -> Finding | None:
    """One-sided test of two proportions, with the tolerated drop as the margin."""
    new, before = evidence.new.scored, evidence.before.scored
    if new.n < gate.min_labels or new.mean is None:
        return None
    shown = f"{evidence.profile}: {new.n} labels, {new.mean:.1%}"
    if before.n < gate.min_labels or before.mean is None:
        return Finding(False, f"{shown}, with nothing to compare to")
    spread = math.sqrt(_variance(new) + _variance(before))
    p = 1 - _NORMAL.cdf((before.mean - gate.max_accuracy_drop - new.mean) / spread)
    return Finding(p < gate.significance, f"{shown} against {before.mean:.1%}, {_p(p)}")


def _errors(gate: Gate, evidence: Evidence) -> Finding | None:
    """Compares Wilson's lower bound of the share of failed answers with the tolerated share."""
    new = evidence.new.serving
    failed = new.errors + new.not_finite
    asked = max(new.requests, failed)
    if asked < gate.min_requests or not failed:
        return None
    low = _wilson_low(failed, asked, gate.significance)
    words = f"{evidence.profile}: {failed} of {asked} answers failed, at most {gate.max_error_share:.1%} allowed"
    return Finding(low > gate.max_error_share, words)


def _latency(gate: Gate, evidence: Evidence) -> Finding | None:
    """Compares the share of answers slower than the control's p95, times the tolerated ratio, with 5 %."""
    new, control = evidence.new.serving.latency, evidence.control.serving.latency
    if new.count < gate.min_requests or control.count < gate.min_requests:
        return None
    p95, theirs = new.percentile_ms(95), control.percentile_ms(95)
    if p95 is None or theirs is None:
        return None
    slow = new.count_above(theirs * gate.max_p95_ratio)
    low = _wilson_low(slow, new.count, gate.significance)
    words = f"{evidence.profile}: p95 {p95:.2f} ms against {theirs:.2f} ms on devices that still run the old variant"
    return Finding(low > SLOWEST and p95 > theirs * gate.max_p95_ratio, words)


def _variance(scored: Moments) -> float:
    """Variance of a mean score with two right and two wrong answers added (Agresti and Coull), so never zero."""
    adjusted = scored + Moments.of_hits(4, 2)
    return (adjusted.variance or 0.0) / adjusted.n


def _wilson_low(successes: int, n: int, significance: float) -> float:
    """Wilson's one-sided lower bound of a proportion (Wilson 1927)."""
    z = _NORMAL.inv_cdf(1 - significance)
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
