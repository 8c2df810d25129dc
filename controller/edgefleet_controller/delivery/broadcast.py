"""One blob on one lane: who listens, what is under way to whom, and which chunk is next; pure rules that take `now`.

Every chunk goes to all listeners. A listener with credit says what it still lacks, which chunk it heard last, and how
many bytes may be under way to it. Messages to one device arrive in order, so what was sent up to the chunk that it
heard last has arrived or is lost, and what was sent after it is under way and is not sent again. Nothing is sent beyond
the credit of any listener. One that does not move any more, or too little, stops holding the others up after a while
(`holding`).

Bitmaps are whole numbers: chunk i is bit i.
"""

import heapq
import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice

from edgefleet_controller.delivery.holding import Holding
from edgefleet_protocol.messages import Credit

SHORT_LOG = 64
LARGE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Sent:
    """A chunk that was sent, when, and how many bytes have been since the beginning, with it."""

    index: int
    at: float
    through_bytes: int


@dataclass(slots=True)
class _Listener:
    """What a device lacks, and how far it has got.

    Attributes:
        missing: the chunks that it lacks.
        credit: what it said last.
        through: how many of all sends have reached it, or were before its turn.
        through_bytes: the bytes of these.
        moved_at: when it last moved, or was first seen.
        waited_for: whether nothing is sent beyond its credit.
    """

    missing: int
    credit: Credit
    through: int
    through_bytes: int
    moved_at: float
    waited_for: bool = True

    def limit_bytes(self, chunk_bytes: int) -> float:
        """How many bytes may have been sent in all before it must say more: one chunk may always be under way."""
        if not self.waited_for:
            return math.inf
        return self.through_bytes + max(self.credit.bytes_under_way, chunk_bytes)


@dataclass(frozen=True)
class Hurry:
    """What is expected of the listeners of a lane.

    Attributes:
        patience_s: how long one may hold up the others.
        byte_s: how long a byte takes to send.
    """

    patience_s: float = math.inf
    byte_s: float = 0.0


UNHURRIED = Hurry()


@dataclass
class Broadcast:
    """The wanted chunks of one blob on one lane.

    Args:
        chunks: how many chunks the blob has.
        chunk_bytes: their size, in bytes.
    """

    chunks: int
    chunk_bytes: int
    until: float = -math.inf
    """When the window of the last listener closes."""
    asked_at: float = -math.inf
    """When it was last asked for."""
    begins_at: float = -math.inf
    """Until when wants are gathered before the first chunk goes out."""
    gathers_since: float | None = None
    blocked_until: float = -math.inf
    """Until when nothing may be sent, unless a want says more."""
    at: int = 0
    _wanted: int = 0
    _recent: OrderedDict[int, float] = field(default_factory=OrderedDict)
    _recent_bits: int = 0
    _listeners: dict[str, _Listener] = field(default_factory=dict)
    _limits: list[tuple[float, str]] = field(default_factory=list)
    _log: deque[_Sent] = field(default_factory=deque)
    _forgotten: int = 0
    """How many sends are no longer in the log."""
    _forgotten_bytes: int = 0
    _holding: Holding = field(default_factory=Holding)
    _trim_at: int = SHORT_LOG
    _sent_bytes: int = 0
    _somebody_left: bool = False
    """Whether something may be wanted that only those lacked who have left."""

    @property
    def over(self) -> bool:
        """Whether nothing is wanted, nobody listens, and what was sent may be forgotten."""
        return not (self._wanted or self._listeners or self._recent)

    @property
    def size_bytes(self) -> int:
        """About as much as the blob has."""
        return self.chunks * self.chunk_bytes

    @property
    def worth(self) -> float:
        """How much it is worth to wait until it can be sent once for many: 1 for a large blob, almost 0 for a small."""
        return min(1.0, self.size_bytes / LARGE_BYTES)

    @property
    def listeners(self) -> int:
        """How many devices listen that give credit."""
        return len(self._listeners)

    def has(self, device: str) -> bool:
        """Whether this device listens, and gives credit."""
        return device in self._listeners

    @property
    def wanted(self) -> bool:
        """Whether a chunk is wanted, whether or not it may be sent now."""
        return bool(self._wanted)

    def want(self, missing: int, until: float, sent_since: float) -> None:
        """Note what a device without credit lacks; what was sent after `sent_since` may still be on its way to it."""
        self.until = max(self.until, until)
        for index, at in reversed(self._recent.items()):
            if at <= sent_since:
                break
            missing &= ~(1 << index)
        self._wanted |= missing
        self.blocked_until = -math.inf

    def listen(
        self, device: str, missing: int, credit: Credit, now: float, until: float, hurry: Hurry = UNHURRIED
    ) -> None:
        """Note what a device with credit lacks, and how far it has got."""
        self._holding.ends(now)
        listener = self._listeners.get(device)
        if listener is None or listener.credit.turn != credit.turn:
            listener = _Listener(missing, credit, self._sends, self._sent_bytes, now)
            self._listeners[device] = listener
        else:
            before_bytes = listener.through_bytes
            self._move(listener, credit.last, now)
            self._holding.heard(device, (listener.through_bytes - before_bytes) * hurry.byte_s)
            listener.missing, listener.credit = missing, credit
        patience_s = self._holding.patience_s(hurry.patience_s)
        listener.waited_for = len(self._listeners) < 2 or self._holding.by(device) < patience_s
        self.until, self.blocked_until = max(self.until, until), -math.inf
        self._wanted |= missing & ~self._under_way(listener)
        heapq.heappush(self._limits, (listener.limit_bytes(self.chunk_bytes), device))
        if len(self._limits) > 4 * len(self._listeners) + SHORT_LOG:
            self._limits = [(one.limit_bytes(self.chunk_bytes), name) for name, one in self._listeners.items()]
            heapq.heapify(self._limits)

    def leave(self, device: str) -> None:
        """Forget a listener, if it is one; what only it lacked is no longer wanted."""
        listener = self._listeners.pop(device, None)
        self.blocked_until = -math.inf
        self._somebody_left |= listener is not None and bool(listener.missing & self._wanted)

    def next_index(self, now: float, patience_s: float, pause_s: float) -> int | None:
        """The next chunk that may be sent, in a circle, so that repairs at the start don't delay the end.

        Args:
            now: seconds on a monotonic clock.
            patience_s: how long a listener that does not move may hold up the others.
            pause_s: for how long a chunk that was sent is not sent again.

        Returns:
            The chunk; None if none may be sent before `blocked_until` or a further want.
        """
        self.blocked_until = -math.inf
        self._holding.ends(now)
        if not self._ready():
            self.blocked_until = next(iter(self._recent.values()), math.inf) + pause_s
            return None
        if not self._has_room(now, patience_s) or not (ready := self._ready()):
            return None
        ahead = ready >> self.at
        bits, base = (ahead, self.at) if ahead else (ready, 0)
        return base + (bits & -bits).bit_length() - 1

    def sent(self, index: int, size_bytes: int, now: float) -> None:
        """Note that a chunk went out; with no bytes, that it could not be read and is dropped."""
        self._wanted &= ~(1 << index)
        self.at, self.gathers_since = index + 1, None
        if not size_bytes:
            return
        self._sent_bytes += size_bytes
        self._recent[index] = now
        self._recent.move_to_end(index)
        self._recent_bits |= 1 << index
        self._log.append(_Sent(index, now, self._sent_bytes))
        if len(self._log) >= self._trim_at:
            self._trim()

    def forget_sent_before(self, then: float) -> None:
        """Chunks that were sent before `then` may be sent again."""
        while self._recent and next(iter(self._recent.values())) <= then:
            index, _ = self._recent.popitem(last=False)
            self._recent_bits &= ~(1 << index)

    def _ready(self) -> int:
        """What is wanted and was not sent a moment ago."""
        if self._somebody_left:
            self._wanted &= self._lacking()
            self._somebody_left = False
        return self._wanted & ~self._recent_bits

    @property
    def _sends(self) -> int:
        return self._forgotten + len(self._log)

    def _move(self, listener: _Listener, last: int | None, now: float) -> None:
        """Move a listener up to the chunk that it heard last: the earliest send of it that it may have heard."""
        behind = self._behind(listener) if last is not None else []
        for number, sent in enumerate(behind, start=1):
            if sent.index == last:
                listener.through += number
                listener.through_bytes, listener.moved_at = sent.through_bytes, now
                return

    def _behind(self, listener: _Listener) -> list[_Sent]:
        """What was sent since the listener's last move, oldest first."""
        if listener.through < self._forgotten:  # nobody waited for it
            listener.through, listener.through_bytes = self._forgotten, self._forgotten_bytes
        return list(islice(reversed(self._log), self._sends - listener.through))[::-1]

    def _waits_since(self, listener: _Listener) -> float:
        """Since when something is under way to a listener without it having moved."""
        behind = self._sends - listener.through
        return max(listener.moved_at, self._log[-behind].at if behind else math.inf)

    def _under_way(self, listener: _Listener) -> int:
        bits = 0
        for sent in self._behind(listener):
            bits |= 1 << sent.index
        return bits

    def _has_room(self, now: float, patience_s: float) -> bool:
        """Whether a further chunk stays within every listener's credit."""
        while self._limits:
            limit, device = self._limits[0]
            listener = self._listeners.get(device)
            if listener is None or listener.limit_bytes(self.chunk_bytes) != limit:
                heapq.heappop(self._limits)
            elif self._sent_bytes + self.chunk_bytes <= limit:
                return True
            elif (left_s := self._patience_left_s(device, listener, now, patience_s)) > 0:
                self.blocked_until = now + left_s
                if len(self._listeners) > 1:
                    self._holding.waits_for(device, now)
                return False
            else:
                self.leave(device)
                self._holding.passes_over()
        return True

    def _patience_left_s(self, device: str, listener: _Listener, now: float, patience_s: float) -> float:
        silent_s = now - self._waits_since(listener)
        if len(self._listeners) < 2:
            return patience_s - silent_s
        return self._holding.patience_s(patience_s) - max(silent_s, self._holding.by(device))

    def _lacking(self) -> int:
        """What of the wanted chunks a listener lacks that is not under way to it; most often the first lacks all."""
        bits = 0
        for listener in self._listeners.values():
            bits |= listener.missing & ~self._under_way(listener)
            if not self._wanted & ~bits:
                break
        return bits

    def _trim(self) -> None:
        """Forget the sends that every listener has behind it."""
        waited_for = (one.through for one in self._listeners.values() if one.waited_for)
        oldest = min(waited_for, default=self._sends)
        while self._log and self._forgotten < oldest:
            self._forgotten_bytes = self._log.popleft().through_bytes
            self._forgotten += 1
        self._trim_at = max(SHORT_LOG, 2 * len(self._log))
