"""A rollback leaves no device under way: what has not ended is told to return, or was never told anything."""

from edgefleet_controller.rollouts.rollout import End, MoveRollout, Return, advance


def test_whoever_was_under_way_returns_and_is_no_longer_under_way(rollout, execution) -> None:
    back = rollout("failed").model_copy(update={"state": "rolling_back", "reason": "it failed"})
    members = [
        *(execution(phase, phase, generation=2) for phase in ("notified", "downloading", "staged", "trial")),
        execution("told", "assigned", generation=2),
        execution("gone", "staged", generation=2, removed_ms=9),
        execution("committed", "committed", generation=2),
    ]
    returned = {d.execution.device: d.execution.phase for d in advance(back, members, 0) if isinstance(d, Return)}
    stopped = dict.fromkeys(("notified", "downloading", "staged", "trial", "told"), "cancelled")
    assert returned == {**stopped, "committed": "committed"}


def test_whoever_was_never_told_anything_ends_there(rollout, execution) -> None:
    back = rollout("failed").model_copy(update={"state": "rolling_back", "reason": "it failed"})
    member = execution("never-told", "assigned")
    assert advance(back, [member], 0) == [
        End(member, "cancelled", "the rollout was rolled back"),
        MoveRollout("rolled_back", "it failed"),
    ]
