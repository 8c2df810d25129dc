"""Fakes at the seams: a wire that a test scripts, and a clock that it winds."""

from dataclasses import dataclass, field

from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.messages import ChunkRequest


@dataclass
class ScriptedWire:
    """The wire's fake: it remembers what was listened to and asked for; a test decides what comes back."""

    topics: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    wants: list[ChunkRequest] = field(default_factory=list)

    def listen(self, topic: str) -> None:
        self.topics.append(topic)

    def leave(self, topic: str) -> None:
        self.left.append(topic)

    def want(self, request: ChunkRequest) -> None:
        self.wants.append(request)

    def missing(self) -> list[int]:
        """The chunks that the last request asks for."""
        return list(Bitmap.from_text(self.wants[-1].chunks, self.wants[-1].missing))


@dataclass
class Clock:
    """A monotonic clock that a test winds."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s
