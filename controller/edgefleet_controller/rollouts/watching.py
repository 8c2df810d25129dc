"""What a watch makes of a completed rollout's evidence: pure rules that take facts and `now`."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.rollouts import ExecutionRecord, Judgement
from edgefleet_controller.alerts import WORSE_AFTER_ROLLOUT, Finding
from edgefleet_controller.records import RolloutRecord

HOUR_MS = 3_600_000
GONE = "the finding is gone: the check passes"
AGAINST = ("failed", "inconclusive")


def watched_until_ms(rollout: RolloutRecord) -> int | None:
    """Until when a completed rollout is watched, if nothing is found; None for any other."""
    if rollout.state != "completed":
        return None
    return rollout.changed_ms + round(rollout.spec.gate.watch_h * HOUR_MS)


def is_watched(rollout: RolloutRecord, alerts: Iterable[AlertRecord], now_ms: int) -> bool:
    """Whether its evidence is looked at: for `watch_h` hours, and for as long as an alert of it is open."""
    until_ms = watched_until_ms(rollout)
    return until_ms is not None and (
        now_ms < until_ms or any(a.state == "open" and a.rollout == rollout.id for a in alerts)
    )


def still_running(executions: Sequence[ExecutionRecord], moved_on: Mapping[str, str]) -> list[ExecutionRecord]:
    """The executions whose devices have run nothing else since.

    Args:
        executions: all of the rollout.
        moved_on: the devices on which a later rollout has committed, with its id.
    """
    return [e for e in executions if e.device not in moved_on]


def profiles(running: Iterable[ExecutionRecord]) -> set[str]:
    """The profiles on which any device may still run the rollout's variant."""
    return {e.profile for e in running if e.exposed and not e.has_left}


def findings(rollout: RolloutRecord, judgements: Iterable[Judgement]) -> list[Finding]:
    """What speaks against the rollout's variants."""
    return [
        Finding(WORSE_AFTER_ROLLOUT, rollout.id, judgement.check, judgement.profile, judgement.words)
        for judgement in judgements
        if judgement.outcome in AGAINST
    ]


def over(
    rollout: RolloutRecord,
    alerts: Iterable[AlertRecord],
    executions: Sequence[ExecutionRecord],
    moved_on: Mapping[str, str],
    judgements: Collection[Judgement],
) -> dict[str, str]:
    """Why alerts of a rollout end, by id; those without enough evidence stay as they are.

    Args:
        rollout: the rollout.
        alerts: alerts that are open.
        executions: all of the rollout.
        moved_on: as for `still_running`.
        judgements: what was made of the evidence of devices that still run its variants.
    """
    here = profiles(still_running(executions, moved_on))
    well = {(j.check, j.profile) for j in judgements if j.outcome == "passed"}
    ends: dict[str, str] = {}
    for alert in alerts:
        if rollout.state != "completed":
            ends[alert.id] = f"the rollout is {rollout.state}"
        elif alert.profile not in here:
            ends[alert.id] = _replaced(executions, moved_on, alert.profile)
        elif (alert.check, alert.profile) in well:
            ends[alert.id] = GONE
    return ends


def _replaced(executions: Sequence[ExecutionRecord], moved_on: Mapping[str, str], profile: str | None) -> str:
    by = {moved_on[e.device] for e in executions if e.profile == profile and e.device in moved_on}
    return f"rollout {max(by)} has replaced the variant" if by else "no device runs the variant any more"
