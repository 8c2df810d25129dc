"""Waiting for something of the controller's: polls it, forgives a restart, and has an end."""

import time
from collections.abc import Callable, Iterator

from edgefleet_operator.cli.calling import Json
from edgefleet_operator.cli.ending import TIMED_OUT, refuse
from edgefleet_operator.client import Client
from edgefleet_operator.errors import ApiError, OperatorError

POLL_S = 0.5
SILENCE_S = 30.0


def looks(client: Client, path: str, ended: Callable[[Json], bool], timeout_s: float | None) -> Iterator[Json]:
    """What a path answers, again and again until it has ended.

    Args:
        client: whom to ask.
        path: what to look at.
        ended: whether an answer is the last one.
        timeout_s: seconds to wait at most; None waits for ever.

    Raises:
        ApiError: it was refused, or there was no answer for half a minute.
        typer.Exit: the time is up; the exit code says so.
    """
    started = heard = time.monotonic()
    while True:
        try:
            found: Json = client.get(path)
            heard = time.monotonic()
            yield found
            if ended(found):
                return
        except ApiError as error:
            if error.status is not None or time.monotonic() - heard > SILENCE_S:
                raise
        waited = time.monotonic() - started
        if timeout_s is not None and waited >= timeout_s:
            _time_is_up(path, timeout_s)
        time.sleep(POLL_S if timeout_s is None else min(POLL_S, timeout_s - waited))


def _time_is_up(path: str, timeout_s: float) -> None:
    name = path.strip("/").replace("/", " ").replace("s ", " ", 1)
    refuse(OperatorError(f"{name} did not end within {timeout_s:g} s; it goes on"), TIMED_OUT)
