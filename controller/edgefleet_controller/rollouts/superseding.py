"""Rules for devices that another rollout has directed, as can happen after a restore of the store. No I/O.

Rollout ids are UUIDv7: the greater one started later.
"""

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_protocol.messages import Attempt
from edgefleet_protocol.phases import ENDED


def after_another(execution: ExecutionRecord, attempt: Attempt, now_ms: int) -> ExecutionRecord | None:
    """An execution after its device reported an attempt of another rollout; None if nothing changes.

    A later rollout supersedes this one, even if the store has lost all record of it. If the other rollout is earlier
    but the device's generation is not below ours, the device ignored ours as too low, because the store didn't know
    the device's generation. Then the device is directed again.
    """
    if attempt.rollout is None or attempt.rollout == execution.rollout:
        return None
    later = attempt.rollout > execution.rollout
    if later and execution.back_generation is not None and not execution.is_back:
        if attempt.generation < execution.back_generation:
            return None  # it reports what it was told before
        return execution.model_copy(update={"back_phase": "superseded", "heard_ms": now_ms})
    if execution.phase in ENDED:
        return None
    if later:
        words = f"rollout {attempt.rollout}, which started later, gave it generation {attempt.generation}"
        changes = {"phase": "superseded", "reason": None, "detail": words, "heard_ms": now_ms, "changed_ms": now_ms}
        return execution.model_copy(update=changes)
    if execution.generation is not None and execution.generation <= attempt.generation:
        fresh = {"phase": "assigned", "directive": "none", "generation": None, "directed_ms": None}
        return execution.model_copy(update={**fresh, "heard_ms": now_ms, "changed_ms": now_ms})
    return None
