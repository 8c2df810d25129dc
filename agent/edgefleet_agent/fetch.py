"""Fetch blobs: listen on a blob's topic, request what is missing, and repeat the request only after silence.

One loop drives everything: chunks and acknowledgements come in, requests go out through `Wire`.

A controller with the feature `credit` is told how much may be under way, and sends no more (see `flow`). A broker sends
the confirmation of a subscription behind everything that it has for us already. So whatever was under way when we
subscribed has arrived once that is confirmed, or is lost: we never ask for what is still on its way, however slow the
link. After silence, we subscribe anew first; to change our pace, too.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgefleet_agent.errors import Rejected
from edgefleet_agent.flow import Flow
from edgefleet_agent.sinks import Sink
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import Bitmap, parse_frame
from edgefleet_protocol.errors import MalformedFrame, MalformedTopic
from edgefleet_protocol.messages import ChunkRequest, Credit
from edgefleet_protocol.paces import SLOWEST_KBPS, UNMEASURED
from edgefleet_protocol.topics import Lane

SILENCE_S = 2.0
MAX_SILENCE_S = 60.0
INTERVALS_OF_SILENCE = 4
CREDIT_SILENCE_S, CHUNKS_OF_SILENCE = 5.0, 3
"""With credit, silence lasts this long, two round trips, and as long as so many chunks take at our pace. A controller
may wait for almost as long until others have joined, before it sends once for all."""


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
    lane: Lane | None = None
    """Where we subscribed last."""
    listening: bool = False
    """Whether that is confirmed."""
    turn: int = 0
    last: int | None = None
    """The chunk that arrived last in this turn."""
    credited: int = 0
    arrived_bytes: int = 0
    """How much arrived since we asked last."""
    ask_at_s: float = 0.0
    silent: bool = False
    """Whether we ask because nothing arrives."""
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
        channel: the link's name, the beginning of the last part of every blob topic.
        stall_s: seconds without a chunk after which a fetch fails, not counting those in which it waits for its window.
        may_fetch: whether the window is open; a fetch that is `at_once` does not ask.
        flow: what is known of the link's rate.
        draw: returns numbers from 0 to 1, for the jitter.
        clock: the monotonic clock, in seconds.
    """

    wire: Wire
    channel: str
    stall_s: float
    may_fetch: Callable[[], bool] = lambda: True
    flow: Flow = field(default_factory=lambda: Flow(math.inf))
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    dropped: Dropped = field(default_factory=Dropped)
    _fetches: dict[str, list[_Fetch]] = field(default_factory=dict)
    _gives_credit: bool = False
    _round_trip_s: float = 0.0
    _subscribed_s: float = 0.0

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
            self._listen(fetch)

    def is_held(self, sink: Sink) -> bool:
        """Whether this fetch waits for its window."""
        return any(fetch.held for fetch in self._fetches.get(sink.blob.sha256, []) if fetch.sink is sink)

    def stop(self, sink: Sink) -> None:
        """Cancel one fetch without calling `done` or `failed`."""
        blob = sink.blob.sha256
        for fetch in [fetch for fetch in self._fetches.get(blob, []) if fetch.sink is sink]:
            self._fetches[blob].remove(fetch)
            if not self._fetches[blob]:
                del self._fetches[blob]
            self._leave(fetch)

    def give_credit(self, credit: bool) -> None:
        """Whether the controller keeps to our credit, as far as it has told."""
        if credit == self._gives_credit:
            return
        self._gives_credit = credit
        for fetch in self._all():
            if fetch.lane and not fetch.held:
                self._move(fetch)

    def connected(self) -> None:
        """There is a new connection, without subscriptions."""
        for fetch in self._all():
            if not fetch.held:
                self._listen(fetch)

    def listening(self, topic: str) -> None:
        """The broker has confirmed a subscription: only now does asking help."""
        self._round_trip_s = min(self.clock() - self._subscribed_s, MAX_SILENCE_S / 4)
        self.flow.took_round_trip(self._round_trip_s)
        for fetch in self._of(topic):
            if fetch.listening or fetch.held or fetch.lane is None or topics.blob(_blob(fetch), fetch.lane) != topic:
                continue
            if fetch.lane != self._lane(fetch):
                self._move(fetch)
                continue
            self._begin_turn(fetch)

    def disconnected(self) -> None:
        """The connection and its subscriptions are gone."""
        self.flow.begin_anew()
        for fetch in self._all():
            fetch.listening, fetch.lane = False, None

    def hello(self, jitter_s: float) -> None:
        """Ask soon: a controller is there that may not know our requests."""
        self.flow.begin_anew()
        for fetch in self._all():
            fetch.unanswered, fetch.silent = 0, False
            fetch.ask_at_s = min(fetch.ask_at_s, self.clock() + self.draw() * jitter_s)

    def chunk(self, topic: str, frame: bytes, arrived_s: float | None = None) -> None:
        """Take a chunk frame that arrived just now, or at this time; useless ones are counted and dropped."""
        try:
            got = parse_frame(frame)
        except MalformedFrame:
            self.dropped.malformed += 1
            return
        fetches = list(self._of(topic))
        if not fetches:
            self.dropped.foreign += 1
        if got.sending is not None:
            self.flow.arrived(len(frame), got.sending, self.clock() if arrived_s is None else arrived_s)
        for fetch in fetches:
            if fetch.listening and fetch.lane is not None and topics.blob(_blob(fetch), fetch.lane) == topic:
                fetch.last = got.index
            self._take(fetch, got.index, got.data)
        if got.sending is not None:
            self._regard_pace()

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
                if fetch.silent and self._gives_credit:
                    self._look(fetch)
                else:
                    self._ask(fetch, now_s)
        return min((fetch.ask_at_s for fetch in self._all() if fetch.listening), default=now_s + SILENCE_S)

    def _allowed(self, fetch: _Fetch) -> bool:
        return fetch.at_once or self.may_fetch()

    def _regard_window(self, fetch: _Fetch, now_s: float) -> None:
        """Hold a fetch whose window has closed, and let it go on once it is open."""
        blob = fetch.sink.blob.sha256
        allowed = self._allowed(fetch)
        if not any(fetch is one for one in self._fetches.get(blob, [])) or (allowed and not fetch.held):
            return  # the end of another fetch may have stopped this one
        fetch.last_progress_s = now_s
        if allowed:
            fetch.held, fetch.unanswered = False, 0
            self._listen(fetch)
        elif not fetch.held:
            fetch.held = True
            self._leave(fetch)

    def _regard_pace(self) -> None:
        """Listen elsewhere once the link has shown itself faster or slower."""
        for fetch in self._all():
            if fetch.listening and fetch.lane != self._lane(fetch):
                self._move(fetch)

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
        if fetch.silent or not self._gives_credit:  # a controller must hear of us even if others' chunks serve us, too
            fetch.ask_at_s, fetch.silent = now_s + self._silence_s(fetch), True
        fetch.arrived_bytes += len(data)
        if fate == "repeated":
            self.dropped.repeated += 1
            last_s = max(fetch.last_progress_s, fetch.asked_at_s)
            fetch.ask_at_s = max(now_s, min(fetch.ask_at_s, last_s + MAX_SILENCE_S))
        else:
            fetch.last_progress_s, fetch.wrong_before = now_s, fetch.sink.wrong
            if len(fetch.sink.received) == 0:
                fetch.ask_at_s, fetch.silent = now_s, False  # it was complete and did not match: start again at once
        if _missing(fetch.sink) == 0:
            self._end(fetch, None)
        elif fetch.credited and fetch.arrived_bytes >= min(
            fetch.credited / 2, fetch.credited - fetch.sink.chunk_bytes + 1
        ):
            # Half of it has arrived, or a short last chunk that leaves no room for a whole one.
            self.flow.took_in()
            fetch.ask_at_s, fetch.silent = now_s, False

    def _ask(self, fetch: _Fetch, now_s: float) -> None:
        sink = fetch.sink
        sink.wants += 1
        missing = sink.received.inverted()
        for alike in self._alike(fetch):
            missing = missing.union(alike.sink.received.inverted())
        self._request(fetch, missing)
        fetch.arrived_bytes = 0
        fetch.asked_at_s, fetch.ask_at_s, fetch.silent = now_s, now_s + self._silence_s(fetch), True
        fetch.unanswered += 1

    def _begin_turn(self, fetch: _Fetch) -> None:
        """Nothing is under way any more, unless another fetch of this blob listens already."""
        alike = self._alike(fetch)
        fetch.turn = alike[0].turn if alike else fetch.turn + 1
        fetch.last = alike[0].last if alike else None
        fetch.listening, fetch.silent, fetch.ask_at_s = True, False, self.clock()

    def _request(self, fetch: _Fetch, missing: Bitmap) -> None:
        fetch.credited = 0
        credit = None
        if self._gives_credit and fetch.lane and fetch.lane.pace is not None:
            fetch.credited = self.flow.credit(fetch.sink.chunk_bytes, self.clock(), len(self._fetches))
            credit = Credit(pace=fetch.lane.pace, bytes_under_way=fetch.credited, turn=fetch.turn, last=fetch.last)
        self.wire.want(
            ChunkRequest(
                blob=_blob(fetch),
                lane=self.channel,
                chunk_bytes=fetch.sink.chunk_bytes,
                chunks=missing.count,
                missing=missing.to_text(),
                credit=credit,
            )
        )

    def _silence_s(self, fetch: _Fetch) -> float:
        longer = 2 ** min(fetch.unanswered, 5)
        if self._gives_credit and fetch.lane and fetch.lane.pace is not None:
            chunk_s = fetch.sink.chunk_bytes / 125 / (fetch.lane.pace or SLOWEST_KBPS)
            silence_s = (CREDIT_SILENCE_S + 2 * self._round_trip_s + CHUNKS_OF_SILENCE * chunk_s) * longer
        else:
            silence_s = max(SILENCE_S * longer, INTERVALS_OF_SILENCE * fetch.interval_s)
        return float(min(silence_s, MAX_SILENCE_S) * (1 + 0.5 * self.draw()))

    def _end(self, fetch: _Fetch, error: Rejected | None) -> None:
        # The end of another fetch may have stopped this one.
        if not any(fetch is active for active in self._all()):
            return
        self.stop(fetch.sink)
        if error is None:
            fetch.done()
        else:
            fetch.failed(error)

    # ---- where we listen -----------------------------------------------------------------------------------------

    def _lane(self, fetch: _Fetch) -> Lane:
        return Lane(self.channel, self.flow.pace, fetch.sink.chunk_bytes) if self._gives_credit else Lane(self.channel)

    def _listen(self, fetch: _Fetch, lane: Lane | None = None) -> None:
        fetch.lane, fetch.listening = lane or self._lane(fetch), False
        self._subscribed_s = self.clock()
        self.wire.listen(topics.blob(_blob(fetch), fetch.lane))

    def _leave(self, fetch: _Fetch) -> None:
        """Listen no more, unless another fetch of this blob does."""
        if fetch.lane is not None and all(one.lane != fetch.lane for one in self._others(fetch)):
            self.wire.leave(topics.blob(_blob(fetch), fetch.lane))
            if fetch.credited:  # the controller counts on us to go on
                self._request(fetch, Bitmap(fetch.sink.received.count))
        fetch.lane, fetch.listening, fetch.credited = None, False, 0

    def _move(self, fetch: _Fetch, lane: Lane | None = None) -> None:
        """Listen elsewhere: what is under way arrives before that is confirmed."""
        self._leave(fetch)
        self._listen(fetch, lane)

    def _look(self, fetch: _Fetch) -> None:
        """Nothing arrives: hear no more, and learn by another subscription what has become of what is under way."""
        self._move(fetch, Lane(self.channel, UNMEASURED, fetch.sink.chunk_bytes))

    def _alike(self, fetch: _Fetch) -> list[_Fetch]:
        """Other fetches that hear the same chunks."""
        return [one for one in self._others(fetch) if one.listening and one.lane == fetch.lane]

    def _others(self, fetch: _Fetch) -> list[_Fetch]:
        return [one for one in self._fetches.get(_blob(fetch), []) if one is not fetch]

    def _of(self, topic: str) -> list[_Fetch]:
        try:
            named = topics.parse_blob(topic)
        except MalformedTopic:
            return []
        return list(self._fetches.get(named.blob, [])) if named.lane.channel == self.channel else []

    def _all(self) -> list[_Fetch]:
        return [fetch for fetches in self._fetches.values() for fetch in fetches]


def _blob(fetch: _Fetch) -> str:
    return fetch.sink.blob.sha256


def _missing(sink: Sink) -> int:
    return sink.received.count - len(sink.received)
