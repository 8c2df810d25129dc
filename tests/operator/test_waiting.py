"""Waiting: a restart of the controller is forgiven, a refusal is not, and the time is kept."""

from collections.abc import Callable

import pytest

from edgefleet_operator.api.waiting import last, looks
from edgefleet_operator.errors import NoAnswer, NotFound, WaitTimeout


def answering(*answers: str | Exception) -> Callable[[], str]:
    """A look that shows these, or fails, in this order."""
    left = iter(answers)

    def look() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


def is_done(found: str) -> bool:
    return found == "done"


def test_a_controller_that_is_away_for_a_moment_is_waited_for() -> None:
    look = answering("first", NoAnswer("no answer"), "done", "never asked")
    assert list(looks(look, is_done, "rollout 1", None, 0.01)) == ["first", "done"]


def test_progress_is_told_once_for_each_change() -> None:
    told: list[str] = []
    seen = looks(answering("first", "first", "second", "second", "done"), is_done, "rollout 1", None, 0.0)
    assert last(seen, told.append) == "done"
    assert told == ["first", "second", "done"]


def test_a_refusal_ends_the_waiting() -> None:
    with pytest.raises(NotFound, match="no such rollout"):
        list(looks(answering("first", NotFound("no such rollout", 404)), is_done, "rollout 1", None, 0.01))


def test_the_last_look_is_taken_when_the_time_is_up() -> None:
    look = answering("first", "second", "third")
    with pytest.raises(WaitTimeout, match=r"rollout 1 did not end within 0.05 s"):
        list(looks(look, is_done, "rollout 1", 0.05))
    assert look() == "third"
