"""Waiting: a restart of the controller is forgiven, a refusal is not, and the time is kept."""

from collections.abc import Iterable
from typing import Any

import pytest
import typer

from edgefleet_operator.cli.waiting import looks
from edgefleet_operator.client import ApiError


class FakeClient:
    """Answers, or fails, in this order."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = iter(answers)

    def get(self, path: str) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def is_done(found: Any) -> bool:
    return bool(found == "done")


def test_a_controller_that_is_away_for_a_moment_is_waited_for() -> None:
    client = FakeClient(["first", ApiError("no answer"), "done", "never asked"])
    assert list(looks(client, "/rollouts/1", is_done, None)) == ["first", "done"]


def test_a_refusal_ends_the_waiting() -> None:
    client = FakeClient(["first", ApiError("no such rollout", 404)])
    with pytest.raises(ApiError, match="no such rollout"):
        list(looks(client, "/rollouts/1", is_done, None))


def test_the_last_look_is_taken_when_the_time_is_up(capsys) -> None:
    client = FakeClient(["first", "second", "third"])
    with pytest.raises(typer.Exit) as ended:
        list(looks(client, "/rollouts/1", is_done, 0.05))
    assert client.get("/") == "third"
    assert ended.value.exit_code == 4
    assert "rollout 1 did not end within 0.05 s" in capsys.readouterr().err
