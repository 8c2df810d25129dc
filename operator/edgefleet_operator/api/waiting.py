"""Polls the controller until something has ended; tolerates a restart, and can time out."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from edgefleet_operator.errors import NoAnswer, WaitTimeout

POLL_S = 0.5
SILENCE_S = 30.0
"""A restarted controller is back within this time."""

Seen = TypeVar("Seen")


def looks(
    look: Callable[[], Seen],
    ended: Callable[[Seen], bool],
    what: str,
    timeout_s: float | None,
    poll_s: float = POLL_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Seen]:
    """Poll and yield each state, up to the last one.

    Args:
        look: asks the controller for the current state.
        ended: whether a state is the last one.
        what: what is waited for, in words.
        timeout_s: seconds to wait at most; None waits forever.
        poll_s: seconds between polls.
        clock: a monotonic clock, in seconds.

    Raises:
        ApiError: the controller refused the request, or didn't answer for half a minute.
        WaitTimeout: the time is up.
    """
    started = heard = clock()
    while True:
        try:
            seen = look()
            heard = clock()
            yield seen
            if ended(seen):
                return
        except NoAnswer:
            if clock() - heard > SILENCE_S:
                raise
        waited = clock() - started
        if timeout_s is not None and waited >= timeout_s:
            raise WaitTimeout(f"{what} did not end within {timeout_s:g} s; it goes on")
        time.sleep(poll_s if timeout_s is None else min(poll_s, timeout_s - waited))


def last(seen: Iterator[Seen], each: Callable[[Seen], None] | None) -> Seen:
    """Return the last state; `each` is called with every one that differs from the one before."""
    found: Seen
    before: Seen | None = None
    for found in seen:
        if each is not None and found != before:
            each(found)
        before = found
    return found
