"""What a rollout's decisions say of its variants: pure."""

from collections.abc import Iterable, Iterator, Sequence

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.records import RolloutRecord, VerdictRecord
from edgefleet_controller.rollouts.rollout import Decision, MoveRollout, MoveWave


def verdicts(
    rollout: RolloutRecord, executions: Sequence[ExecutionRecord], decisions: Iterable[Decision], now_ms: int
) -> list[VerdictRecord]:
    """The verdicts that follow from decisions, one per profile and variant.

    A wave that passes speaks for the variants that its devices have committed, unless they were removed since. A wave
    that fails, and a rollback, speak against every variant that any device of the rollout was told to switch to: the
    gate lets a rollout through, or stops it, as one.
    """
    found: dict[tuple[str, str], VerdictRecord] = {}
    for decision in decisions:
        passed = isinstance(decision, MoveWave) and decision.state == "passed"
        for execution in _concerned(decision, executions):
            if execution.variant is not None and execution.manifest is not None:
                found[execution.profile, execution.variant] = VerdictRecord(
                    model=rollout.spec.model,
                    profile=execution.profile,
                    variant=execution.variant,
                    manifest=execution.manifest,
                    rollout=rollout.id,
                    passed=passed,
                    at_ms=now_ms,
                )
    return list(found.values())


def _concerned(decision: Decision, executions: Sequence[ExecutionRecord]) -> Iterator[ExecutionRecord]:
    match decision:
        case MoveWave(number=number, state="passed"):
            yield from (e for e in executions if e.wave == number and e.phase == "committed" and not e.has_left)
        case MoveWave(state="failed") | MoveRollout(state="rolling_back"):
            yield from (e for e in executions if e.exposed)
