"""The one thread that sends chunks: `channels` decides, the bus sends."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from edgefleet_controller.delivery.channels import Channels, Send, Wait, Want
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import Sending, frame

log = logging.getLogger(__name__)

MAX_COUNTED = 10_000
_RETRY_S = 0.1


class ChunkSender(Protocol):
    """The part of the bus that the pacer needs."""

    @property
    def connected(self) -> bool:
        """Whether chunks can be sent now."""

    def publish_chunk(self, topic: str, data: bytes, stop: threading.Event) -> bool:
        """Send a chunk; returns whether it was sent."""


class ChunkSource(Protocol):
    """The part of the blob folder that the pacer needs."""

    def read_chunk(self, name: str, index: int, chunk_bytes: int) -> bytes | None:
        """Chunk `index` of a blob; None if it cannot be sent."""


class Pacer:
    """Sends wanted chunks, each channel at its rate, until it is stopped.

    Args:
        bus: sends the chunks.
        blobs: reads the chunks.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        bus: ChunkSender,
        blobs: ChunkSource,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._clock = clock
        self._channels = Channels()
        self._bytes_sent: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._changed = threading.Condition()  # guards the two above
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="edgefleet-pacer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; devices ask again for what they still lack."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread:
            self._thread.join(timeout=2)
        self._thread = None

    def want(self, want: Want) -> None:
        """Note what a device lacks, from any thread; see `Channels.want`."""
        with self._changed:
            self._channels.want(want, self._clock())
            self._changed.notify_all()

    def drop(self, blob: str) -> None:
        """Stop sending a blob; a chunk that is being sent still goes out."""
        with self._changed:
            self._channels.drop(blob)
            self._changed.notify_all()

    def bytes_sent(self) -> dict[tuple[str, str], int]:
        """Bytes of chunks sent by (channel, blob), without framing and MQTT; the latest `MAX_COUNTED` pairs."""
        with self._changed:
            return dict(self._bytes_sent)

    @property
    def refused(self) -> int:
        """How many wants were invalid or too many."""
        with self._changed:
            return self._channels.refused

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except Exception:
                log.exception("the pacer failed and continues")
                self._stop.wait(_RETRY_S)

    def _step(self) -> None:
        with self._changed:
            due = self._channels.next(self._clock())
            if isinstance(due, Wait):
                if not self._stop.is_set():
                    self._changed.wait(None if due.until is None else max(0.0, due.until - self._clock()))
                return
        try:
            sent_bytes = self._send(due)
        except Exception:
            log.exception("chunk %d of %s could not be sent and is dropped", due.index, due.blob)
            sent_bytes = 0
        if sent_bytes is None:  # not settled: the channel gives the same chunk again
            self._stop.wait(_RETRY_S)
            return
        self._settle(due, sent_bytes)

    def _send(self, due: Send) -> int | None:
        """Send a chunk; returns its size in bytes, 0 if it could not be read, None without a connection."""
        if not self._bus.connected:
            return None
        data = self._blobs.read_chunk(due.blob, due.index, due.chunk_bytes)
        if not data:
            log.warning("chunk %d of %s was requested but cannot be read", due.index, due.blob)
            return 0
        # The clock that the pacer keeps, not that of the day: a device measures with it how chunks are delayed.
        now_ms, kbps = int(self._clock() * 1000), round(due.channel_kbps)
        message = frame(due.index, data, None if due.lane.pace is None else Sending(now_ms, kbps))
        sent = self._bus.publish_chunk(topics.blob(due.blob, due.lane), message, self._stop)
        return len(data) if sent else None

    def _settle(self, due: Send, sent_bytes: int) -> None:
        with self._changed:
            self._channels.settle(due, sent_bytes, self._clock())
            if sent_bytes:
                key = (due.lane.channel, due.blob)
                self._bytes_sent[key] = self._bytes_sent.get(key, 0) + sent_bytes
                self._bytes_sent.move_to_end(key)
                if len(self._bytes_sent) > MAX_COUNTED:
                    self._bytes_sent.popitem(last=False)
