"""The events of the session's loop: from the broker, from threads that finished, from the system."""

import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from edgefleet_agent.answering import Trouble
from edgefleet_agent.errors import AgentError, Rejected
from edgefleet_agent.placed import Placed
from edgefleet_protocol.messages import Slot

MAX_WAITING = 256
"""Messages from the broker that may wait: 12 MB of 48 KB chunks; dropped ones are requested or sent again."""


@dataclass(frozen=True)
class Connected:
    """The broker has accepted the connection."""


@dataclass(frozen=True)
class Disconnected:
    """The connection is gone."""


@dataclass(frozen=True)
class Subscribed:
    """The broker has confirmed a subscription, topic by topic."""

    connection: int
    mid: int
    granted: tuple[bool, ...]


@dataclass(frozen=True)
class Received:
    """A message from the broker; `retained` says that it may be an old one, `arrived_s` is monotonic."""

    topic: str
    data: bytes
    retained: bool = False
    arrived_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Unpacked:
    """A download was unpacked into a slot, or refused."""

    model: str
    generation: int
    refused: Rejected | None


@dataclass(frozen=True)
class SelfTested:
    """A candidate has passed its self-test and is warm, or was refused."""

    model: str
    generation: int
    placed: Placed | None
    refused: Rejected | None

    @property
    def tested(self) -> dict[str, Slot]:
        """Its slot by its variant, with what it was tested on; empty if it was refused."""
        return {self.placed.slot.variant: self.placed.slot} if self.placed else {}


@dataclass(frozen=True)
class Started:
    """The answering variant's worker has started, or has not."""

    model: str
    slot: Slot
    placed: Placed | None
    error: AgentError | None


@dataclass(frozen=True)
class InTrouble:
    """The trial's variant failed; the old one already answers again."""

    model: str
    trouble: Trouble


@dataclass(frozen=True)
class Ended:
    """The system asks the agent to end."""


InboxEvent = Connected | Disconnected | Subscribed | Received | Unpacked | SelfTested | Started | InTrouble | Ended


class Inbox:
    """The loop's queue: it always takes our own events, and messages from the broker while there is room."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[InboxEvent] = SimpleQueue()
        self.dropped = 0

    def put(self, event: InboxEvent) -> None:
        """Add an event of our own."""
        self._queue.put(event)

    def offer(self, event: Received) -> None:
        """Add a message from the broker, or drop and count it."""
        if self._queue.qsize() >= MAX_WAITING:
            self.dropped += 1
        else:
            self._queue.put(event)

    def get(self, timeout_s: float) -> InboxEvent | None:
        """The next event; None if none comes within `timeout_s`."""
        try:
            return self._queue.get(timeout=max(timeout_s, 0.0))
        except Empty:
            return None
