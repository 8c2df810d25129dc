"""Devices that no gate counts: what they are called, and what a wave or a rollout without any others means; pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import ExecutionRecord, RolloutPhase
from edgefleet_protocol.phases import ENDED_OTHERWISE, Phase

NOTHING_TO_INSTALL: frozenset[Phase] = frozenset({"no_variant", "already_installed"})
_CALLED: dict[Phase, str] = {
    "no_variant": "without a variant",
    "already_installed": "already running it",
    "deferred": "deferred",
    "superseded": "superseded",
    "cancelled": "cancelled",
    "removed": "removed",
}
_MOST_REASONS = 3


class EarlyEnd(NamedTuple):
    """How a rollout ends before it has begun, and why."""

    state: RolloutPhase
    reason: str


class Nobody(NamedTuple):
    """What becomes of a wave in which no device is left to look at, and why."""

    outcome: Literal["skipped", "inconclusive"]
    reason: str


def words(executions: Iterable[ExecutionRecord]) -> str:
    """`2 without a variant, 1 removed`; empty if a gate counts them all."""
    counts = Counter(e.phase for e in executions)
    return ", ".join(f"{counts[phase]:,} {called}" for phase, called in _CALLED.items() if counts[phase])


def nobody_left(wave: Collection[ExecutionRecord]) -> Nobody | None:
    """What becomes of a wave in which no device takes part and is still there; None if one does.

    It is skipped if none ever had anything to install. If devices were removed or taken away, nothing can be judged.
    """
    if any(e.phase not in ENDED_OTHERWISE and e.removed_ms is None for e in wave):
        return None
    if all(e.phase in NOTHING_TO_INSTALL for e in wave):
        return Nobody("skipped", f"no device of this wave has anything to install: {words(wave) or 'it has none'}")
    gone = sum(e.removed_ms is not None for e in wave)
    if gone == len(wave):
        said = f"all {counted(gone, 'device')} of this wave were removed" if gone > 1 else "its only device was removed"
    else:
        others = words(e for e in wave if e.removed_ms is None)
        said = f"no device of this wave is left: {f'{gone:,} removed, ' if gone else ''}{others}"
    return Nobody("inconclusive", f"{said}, so nothing was judged: abort the rollout, and start another")


def end_at_once(executions: Collection[ExecutionRecord]) -> EarlyEnd | None:
    """How a rollout ends in which no device has anything to install; None if one has.

    It is completed if the variant runs anywhere, else cancelled, as nothing will come of it.
    """
    if any(e.phase not in NOTHING_TO_INSTALL and e.phase != "deferred" for e in executions):
        return None
    runs = any(e.phase == "already_installed" for e in executions)
    why = Counter(_why(e) for e in executions if e.phase != "already_installed")
    named = [reason for reason, _ in why.most_common(_MOST_REASONS)]
    more = len(why) - len(named)
    others = [f"and {counted(more, 'more reason')}"] if more else []
    said = [f"nothing to install: {words(executions)}", *named, *others]
    return EarlyEnd("completed" if runs else "cancelled", "; ".join(said))


def _why(execution: ExecutionRecord) -> str:
    return f"{execution.profile}: {execution.detail or 'no variant'}"
