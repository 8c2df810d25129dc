"""What Ctrl-C ends: the command that waits, and not what the controller does."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.rollouts import RolloutView


class WaitInterrupted(KeyboardInterrupt):
    """The user no longer waits; the text says what goes on, and how to look at it or end it."""


@contextmanager
def waiting_for(what_goes_on: str) -> Iterator[None]:
    """Say what goes on if the user interrupts the block.

    Raises:
        WaitInterrupted: the user did.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise WaitInterrupted(what_goes_on) from None


def going_on(found: OperationRecord | RolloutView) -> str:
    """Say of an operation or a rollout that it goes on, and how to look at it or end it."""
    noun, end = ("operation", "cancel") if isinstance(found, OperationRecord) else ("rollout", "pause")
    show, stop = (f"`edgefleet {noun} {verb} {found.id}`" for verb in ("show", end))
    return f"{noun} {found.id} goes on: {show} shows it, {stop} {end}s it"
