"""An operator's orders to a rollout and the decisions that follow from them: pure rules."""

from collections.abc import Sequence
from typing import Literal

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import ExecutionRecord, RolloutPhase
from edgefleet_controller.errors import Refused
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.rollout import (
    Decision,
    End,
    Hold,
    MoveRollout,
    MoveWave,
    Return,
    cancelled,
    must_return,
    waits_for_room,
)
from edgefleet_protocol.phases import ENDED

ABORTED = "the rollout was aborted"
Verb = Literal["pause", "resume", "abort", "rollback"]

# fmt: off
_ALLOWED: dict[Verb, dict[RolloutPhase, RolloutPhase]] = {
    "pause":    {"running": "paused"},
    "resume":   {"paused": "running"},
    "abort":    {"running": "cancelled", "paused": "cancelled"},
    "rollback": {"running": "rolling_back", "paused": "rolling_back", "completed": "rolling_back",
                 "cancelled": "rolling_back", "rollback_incomplete": "rolling_back"},
}
# fmt: on


def decide(verb: Verb, rollout: RolloutRecord, executions: Sequence[ExecutionRecord]) -> list[Decision]:
    """The decisions that carry out an order.

    Raises:
        Refused: the rollout's state does not allow the order.
    """
    executions = [e for e in executions if e.removed_ms is None]
    becomes = _ALLOWED[verb].get(rollout.state)
    if becomes is None:
        possible = ", ".join(_ALLOWED[verb])
        raise Refused(f"rollout {rollout.id} is {rollout.state}: {verb} is possible only if it is {possible}")
    match verb:
        case "pause":
            held: list[Decision] = [Hold(e) for e in executions if e.directive == "activate" and e.phase == "staged"]
            return [MoveRollout(becomes, "an operator paused it"), *held]
        case "resume":
            return [MoveRollout(becomes, "an operator resumed it"), *_try_again(rollout)]
        case "abort":
            reason = "an operator aborted it"
            told = "; ".join([reason, *_left_on_rejected(rollout, executions)])
            return [MoveRollout(becomes, told), *_left_undecided(rollout, reason), *_cancel(executions)]
        case "rollback":
            reason = "an operator rolled it back"
            return [MoveRollout(becomes, reason), *_left_undecided(rollout, reason)]


def _try_again(rollout: RolloutRecord) -> list[Decision]:
    """Judge a wave that failed or was inconclusive again."""
    reason = "an operator resumed it"
    return [MoveWave(w.number, "activating", reason) for w in rollout.waves if w.state in ("failed", "inconclusive")]


def _left_undecided(rollout: RolloutRecord, reason: str) -> list[Decision]:
    """End the wave that is under way: no gate will judge it any more."""
    why = f"{reason} before the gate had decided"
    under_way = (w for w in rollout.waves if w.state in ("staging", "activating", "soaking"))
    return [MoveWave(w.number, "inconclusive", why, w.judgements) for w in under_way]


def _left_on_rejected(rollout: RolloutRecord, executions: Sequence[ExecutionRecord]) -> list[str]:
    """What to say of devices that keep what the gate of a wave has rejected, and how they can return."""
    failed = [wave.number for wave in rollout.waves if wave.state == "failed"]
    kept = [e for e in executions if e.wave in failed and e.phase == "committed" and e.back_generation is None]
    if not kept:
        return []
    waves = " and ".join(f"wave {number}" for number in failed)
    keep = "keeps" if len(kept) == 1 else "keep"
    return [
        f"{counted(len(kept), 'device')} {keep} what failed in {waves}: "
        f"`edgefleet rollout rollback {rollout.id}` returns what ran before"
    ]


def _cancel(executions: Sequence[ExecutionRecord]) -> list[Decision]:
    """End what is undecided: downloads stop and trials end, but committed variants stay."""
    decisions: list[Decision] = []
    for execution in executions:
        if execution.phase == "rejected" and waits_for_room(execution):
            decisions.append(Return(execution))  # it was given up, but would continue by itself
            continue
        if execution.phase in ENDED:
            continue
        if must_return(execution):
            decisions.append(Return(cancelled(execution, ABORTED)))
        else:
            decisions.append(End(execution, "cancelled", ABORTED))
    return decisions
