"""Waiting for something of the controller's: looks again and again, forgives a restart, and has an end."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from edgefleet_operator.errors import NoAnswer, WaitTimeout

POLL_S = 0.5
SILENCE_S = 30.0
"""A controller that is started again is back within this."""

Seen = TypeVar("Seen")


def looks(
    look: Callable[[], Seen],
    ended: Callable[[Seen], bool],
    what: str,
    timeout_s: float | None,
    poll_s: float = POLL_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Seen]:
    """What a look shows, again and again until that is the last.

    Args:
        look: asks the controller.
        ended: whether what it shows is the last.
        what: is waited for, in words.
        timeout_s: seconds to wait at most; None waits for ever.
        poll_s: seconds between two looks.
        clock: seconds since some moment.

    Raises:
        ApiError: it was refused, or there was no answer for half a minute.
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
    """The last of what looks show; `each` is told all of it."""
    found: Seen
    for found in seen:
        if each is not None:
            each(found)
    return found
