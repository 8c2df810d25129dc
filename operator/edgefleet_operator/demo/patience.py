"""Waits for as long as there is progress, however slow the machine is: a limit in wall time fails where it is busy."""

import time
from collections.abc import Callable
from typing import TypeVar

from edgefleet_operator.errors import NoAnswer, OperatorError

T = TypeVar("T")
POLL_S = 0.25


def wait_for(
    what: str,
    condition: Callable[[], T | None],
    progress: Callable[[], object],
    *,
    silent_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Wait until `condition` returns something true; a controller that doesn't answer makes no progress.

    Args:
        what: what is waited for, in words.
        condition: returns what is waited for.
        progress: how far it is; any change is progress.
        silent_s: how long `progress` may stay the same.
        clock: monotonic seconds.
        sleep: waits between looks.

    Raises:
        OperatorError: nothing changed for so long.
    """
    until, reached = clock() + silent_s, None
    while True:
        try:
            if found := condition():
                return found
            if (now := progress()) != reached:
                until, reached = clock() + silent_s, now
        except NoAnswer:
            pass
        if clock() > until:
            raise OperatorError(f"{what} made no progress for {silent_s:.0f} s")
        sleep(POLL_S)
