"""Devices that another rollout has moved, as after a restore of the store: rules. No I/O.

Rollout ids are UUIDv7: the greater one began later.
"""

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_protocol.messages import Attempt
from edgefleet_protocol.phases import ENDED


def after_another(execution: ExecutionRecord, attempt: Attempt, now_ms: int) -> ExecutionRecord | None:
    """An execution after its device told of an attempt of another rollout; None when that changes nothing.

    What a later rollout gave is not an earlier one's to take, also where the store knows nothing of the later one any
    more. If the other one is earlier and the device is not behind our direction, our number was too low to be heard:
    the store did not know how far the device had come. Then it is directed anew.
    """
    if attempt.rollout is None or attempt.rollout == execution.rollout:
        return None
    later = attempt.rollout > execution.rollout
    if later and execution.back_generation is not None and not execution.is_back:
        return execution.model_copy(update={"back_phase": "superseded", "heard_ms": now_ms})
    if execution.phase in ENDED:
        return None
    if later:
        words = f"rollout {attempt.rollout}, which began later, gave it generation {attempt.generation}"
        changes = {"phase": "superseded", "reason": None, "detail": words, "heard_ms": now_ms, "changed_ms": now_ms}
        return execution.model_copy(update=changes)
    if execution.generation is not None and execution.generation <= attempt.generation:
        fresh = {"phase": "assigned", "directive": "none", "generation": None, "directed_ms": None}
        return execution.model_copy(update={**fresh, "heard_ms": now_ms, "changed_ms": now_ms})
    return None
