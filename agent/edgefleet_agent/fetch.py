"""Fetch blobs: listen on a blob's topic, request what is missing, and repeat the request only after silence.

One loop drives everything: chunks and acknowledgements come in, requests go out through `Wire`.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgefleet_agent.errors import Rejected
from edgefleet_agent.sinks import Sink
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import parse_frame
from edgefleet_protocol.errors import MalformedFrame, MalformedTopic
from edgefleet_protocol.messages import ChunkRequest

SILENCE_S = 2.0
MAX_SILENCE_S = 60.0
INTERVALS_OF_SILENCE = 4


class Wire(Protocol):
    """How a device listens and asks: the bus, or a script in tests."""

    def listen(self, topic: str) -> None:
        """Subscribe; `Fetcher.listening` is called once that is confirmed."""

    def leave(self, topic: str) -> None:
        """Unsubscribe."""

    def want(self, request: ChunkRequest) -> None:
        """Request what is missing."""


@dataclass
class _Fetch:
    """One blob under way."""

    sink: Sink
    done: Callable[[], None]
    failed: Callable[[Rejected], None]
    at_once: bool = False
    held: bool = False
    """Whether it waits for its window."""
    listening: bool = False
    ask_at_s: float = 0.0
    interval_s: float = 0.0
    last_chunk_s: float | None = None
    last_progress_s: float = 0.0
    asked_at_s: float = 0.0
    unanswered: int = 0
    wrong_before: int = 0
    """The number of wrong chunks at the last progress."""


@dataclass
class Dropped:
    """Useless chunks, by reason."""

    foreign: int = 0
    repeated: int = 0
    wrong: int = 0
    malformed: int = 0


@dataclass
class Fetcher:
    """All blobs that this device is fetching.

    Args:
        wire: how to listen and ask.
        channel: the link's name, the last part of every blob topic.
        stall_s: seconds without a chunk after which a fetch fails, not counting those in which it waits for its window.
        may_fetch: whether the window is open; a fetch that is `at_once` does not ask.
        draw: returns numbers from 0 to 1, for the jitter.
        clock: the monotonic clock, in seconds.
    """

    wire: Wire
    channel: str
    stall_s: float
    may_fetch: Callable[[], bool] = lambda: True
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    dropped: Dropped = field(default_factory=Dropped)
    _fetches: dict[str, list[_Fetch]] = field(default_factory=dict)

    def start(
        self, sink: Sink, done: Callable[[], None], failed: Callable[[Rejected], None], *, at_once: bool = False
    ) -> None:
        """Fetch what `sink` misses, then call `done` or `failed` from one of the methods below."""
        if _missing(sink) == 0:
            done()
            return
        fetch = _Fetch(sink, done, failed, at_once, last_progress_s=self.clock())
        self._fetches.setdefault(sink.blob.sha256, []).append(fetch)
        fetch.held = not self._allowed(fetch)
        if not fetch.held:
            self.wire.listen(self._topic(sink.blob.sha256))

    def is_held(self, sink: Sink) -> bool:
        """Whether this fetch waits for its window."""
        return any(fetch.held for fetch in self._fetches.get(sink.blob.sha256, []) if fetch.sink is sink)

    def stop(self, sink: Sink) -> None:
        """Cancel one fetch without calling `done` or `failed`."""
        blob = sink.blob.sha256
        left = [fetch for fetch in self._fetches.get(blob, []) if fetch.sink is not sink]
        if blob in self._fetches and not left:
            self.wire.leave(self._topic(blob))
            del self._fetches[blob]
        elif left:
            self._fetches[blob] = left

    def connected(self) -> None:
        """There is a new connection, without subscriptions."""
        for blob, fetches in self._fetches.items():
            if not all(fetch.held for fetch in fetches):
                self.wire.listen(self._topic(blob))

    def listening(self, topic: str) -> None:
        """The broker has confirmed a subscription: only now does asking help."""
        for fetch in self._of(topic):
            if not fetch.listening and not fetch.held:
                fetch.listening, fetch.ask_at_s = True, self.clock()

    def disconnected(self) -> None:
        """The connection and its subscriptions are gone."""
        for fetch in self._all():
            fetch.listening = False

    def hello(self, jitter_s: float) -> None:
        """Ask soon: a controller is there that may not know our requests."""
        for fetch in self._all():
            fetch.unanswered = 0
            fetch.ask_at_s = min(fetch.ask_at_s, self.clock() + self.draw() * jitter_s)

    def chunk(self, topic: str, frame: bytes) -> None:
        """Take a chunk frame; useless ones are counted and dropped."""
        try:
            index, data = parse_frame(frame)
        except MalformedFrame:
            self.dropped.malformed += 1
            return
        fetches = list(self._of(topic))
        if not fetches:
            self.dropped.foreign += 1
        for fetch in fetches:
            self._take(fetch, index, data)

    def tick(self) -> float:
        """Send due requests and sync received chunks; returns the time of the next call, in monotonic seconds."""
        now_s = self.clock()
        for fetch in list(self._all()):
            try:
                fetch.sink.sync()
            except OSError as error:
                self._end(fetch, Rejected("no_space", f"the download cannot be synced: {error.strerror}"))
                continue
            self._regard_window(fetch, now_s)
            if now_s - fetch.last_progress_s > self.stall_s:
                self._end(fetch, self._stalled(fetch))
            elif fetch.listening and now_s >= fetch.ask_at_s:
                self._ask(fetch, now_s)
        return min((fetch.ask_at_s for fetch in self._all() if fetch.listening), default=now_s + SILENCE_S)

    def _allowed(self, fetch: _Fetch) -> bool:
        return fetch.at_once or self.may_fetch()

    def _regard_window(self, fetch: _Fetch, now_s: float) -> None:
        """Hold a fetch whose window has closed, and let it go on once it is open."""
        blob = fetch.sink.blob.sha256
        alike = self._fetches.get(blob, [])
        allowed = self._allowed(fetch)
        if not any(fetch is one for one in alike) or (allowed and not fetch.held):
            return  # the end of another fetch may have stopped this one
        fetch.last_progress_s = now_s
        if allowed:
            fetch.held, fetch.unanswered = False, 0
            self.wire.listen(self._topic(blob))
        elif not fetch.held:
            fetch.held, fetch.listening = True, False
            if all(one.held for one in alike):
                self.wire.leave(self._topic(blob))

    def _stalled(self, fetch: _Fetch) -> Rejected:
        wrong = fetch.sink.wrong - fetch.wrong_before
        if wrong:
            return Rejected("blob_corrupt", f"{wrong} chunks arrived in {self.stall_s:g} s; none matched the blob")
        return Rejected("download_stalled", f"nothing arrived for {self.stall_s:g} s")

    def _take(self, fetch: _Fetch, index: int, data: bytes) -> None:
        now_s = self.clock()
        try:
            fate = fetch.sink.put(index, data)
        except Rejected as error:
            self._end(fetch, error)
            return
        except OSError as error:
            self._end(fetch, Rejected("no_space", f"a chunk cannot be written: {error.strerror}"))
            return
        if fate == "wrong":
            self.dropped.wrong += 1  # a sender of such chunks must not keep us from requesting the right ones
            return
        if fetch.last_chunk_s is not None:
            gap_s = now_s - fetch.last_chunk_s
            fetch.interval_s = gap_s if not fetch.interval_s else 0.8 * fetch.interval_s + 0.2 * gap_s
        # A chunk that we already have also shows that the channel is served; but don't wait forever.
        fetch.last_chunk_s, fetch.unanswered = now_s, 0
        fetch.ask_at_s = now_s + self._silence_s(fetch)
        if fate == "repeated":
            self.dropped.repeated += 1
            last_s = max(fetch.last_progress_s, fetch.asked_at_s)
            fetch.ask_at_s = max(now_s, min(fetch.ask_at_s, last_s + MAX_SILENCE_S))
            return
        fetch.last_progress_s, fetch.wrong_before = now_s, fetch.sink.wrong
        if len(fetch.sink.received) == 0:
            fetch.ask_at_s = now_s  # it was complete and did not match: start again at once
        if _missing(fetch.sink) == 0:
            self._end(fetch, None)

    def _ask(self, fetch: _Fetch, now_s: float) -> None:
        sink = fetch.sink
        sink.wants += 1
        received = sink.received
        self.wire.want(
            ChunkRequest(
                blob=sink.blob.sha256,
                lane=self.channel,
                chunk_bytes=sink.chunk_bytes,
                chunks=received.count,
                missing=received.inverted().to_text(),
            )
        )
        fetch.asked_at_s, fetch.ask_at_s = now_s, now_s + self._silence_s(fetch)
        fetch.unanswered += 1

    def _silence_s(self, fetch: _Fetch) -> float:
        silence_s: float = max(SILENCE_S * 2 ** min(fetch.unanswered, 5), INTERVALS_OF_SILENCE * fetch.interval_s)
        return min(silence_s, MAX_SILENCE_S) * (1 + 0.5 * self.draw())

    def _end(self, fetch: _Fetch, error: Rejected | None) -> None:
        # The end of another fetch may have stopped this one.
        if not any(fetch is active for active in self._all()):
            return
        self.stop(fetch.sink)
        if error is None:
            fetch.done()
        else:
            fetch.failed(error)

    def _topic(self, blob: str) -> str:
        return topics.blob(blob, self.channel)

    def _of(self, topic: str) -> list[_Fetch]:
        try:
            named = topics.parse_blob(topic)
        except MalformedTopic:
            return []
        return list(self._fetches.get(named.blob, [])) if named.channel == self.channel else []

    def _all(self) -> list[_Fetch]:
        return [fetch for fetches in self._fetches.values() for fetch in fetches]


def _missing(sink: Sink) -> int:
    return sink.received.count - len(sink.received)
