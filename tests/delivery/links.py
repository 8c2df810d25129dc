"""A fleet in virtual time: the agent's fetcher, the controller's channels, and links that deliver in order.

Each device has a link of its own; whatever a broker sends it waits there for its turn: chunks, confirmations of
subscriptions, control messages.
"""

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import count
from typing import Any

from edgefleet_agent.errors import Rejected
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.flow import Flow
from edgefleet_agent.sinks import MemorySink
from edgefleet_controller.delivery.channels import Channels, Send, Wait, Want
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import Bitmap, Sending, chunk_size, frame
from edgefleet_protocol.manifest import BlobRef
from edgefleet_protocol.messages import ChunkRequest, encode

INGEST_S = 0.03
"""How long a want waits for its batch in the controller."""
HEADER_BYTES = 120
"""What a message takes on the link besides its data, about: topic, MQTT, TCP and IP."""
OF_PACKETS = 1.04
CONFIRMATION_BYTES = 60
CONTROL_BYTES = 600


@dataclass
class Link:
    """A device's way down, in order, and its way up.

    Attributes:
        kbps: its rate; a function of time for a link that comes and goes (0: nothing passes).
        delay_s: one way.
        free_at: when what is queued will have been sent.
    """

    kbps: Callable[[float], float]
    delay_s: float
    free_at: float = 0.0
    sent_bytes: int = 0

    def deliver_at(self, size_bytes: int, now: float) -> float:
        self.sent_bytes += round(size_bytes * OF_PACKETS)
        at, left = max(self.free_at, now), size_bytes * OF_PACKETS * 8
        while left > 0.001 and at < now + FOREVER_S:
            rate = self.kbps(at) * 1000
            step = min(left / rate, STEP_S) if rate else STEP_S
            left -= rate * step
            at += step
        self.free_at = at
        return at + self.delay_s


STEP_S = 0.25
FOREVER_S = 1000.0
Stages = Sequence[Sequence[tuple[BlobRef, int]]]


class Lab:
    """Runs devices and one controller until everybody is done."""

    def __init__(self, channel_kbps: float, seed: int = 0) -> None:
        self.now, self.channel_kbps = 0.0, channel_kbps
        self.channels = Channels()
        self.devices: list[Device] = []
        self.sent_bytes = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._listeners: dict[str, list[Device]] = defaultdict(list)
        self._sizes: dict[str, int] = {}
        self._waking: float | None = None
        self.random = random.Random(seed)

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def run(self, until: float = 3600.0) -> None:
        while self._events and not all(device.done_at for device in self.devices):
            self.now, _, what = heapq.heappop(self._events)
            if self.now > until:
                raise AssertionError(f"not done after {until} s: {[d.name for d in self.devices if not d.done_at]}")
            what()

    def blob(self, size_bytes: int, label: str) -> BlobRef:
        """A blob of zeros, named by its digest."""
        data = label.encode().ljust(size_bytes, b"\0")[:size_bytes]
        ref = BlobRef(sha256=sha256(data).hexdigest(), size_bytes=size_bytes)
        self._sizes[ref.sha256] = size_bytes
        return ref

    # ---- the controller ------------------------------------------------------------------------------------------

    def take(self, device: str, request: ChunkRequest) -> None:
        missing = Bitmap.from_text(request.chunks, request.missing)
        size = self._sizes[request.blob]
        want = Want(request.lane, self.channel_kbps, request.blob, request.chunk_bytes, size, missing)
        self.channels.want(replace(want, device=device, credit=request.credit), self.now)
        self._pace()

    def _pace(self) -> None:
        due = self.channels.next(self.now)
        while isinstance(due, Send):
            size = chunk_size(due.index, self._sizes[due.blob], due.chunk_bytes)
            self.channels.settle(due, size, self.now)
            self.sent_bytes += size
            self._publish(due, size)
            due = self.channels.next(self.now)
        if isinstance(due, Wait) and due.until is not None and (self._waking is None or due.until < self._waking):
            self._waking = due.until
            self.at(due.until, self._wake)

    def _wake(self) -> None:
        if self._waking is not None and self.now >= self._waking:
            self._waking = None
        self._pace()

    def _publish(self, due: Send, size: int) -> None:
        topic = topics.blob(due.blob, due.lane)
        sending = Sending(int(self.now * 1000), round(due.channel_kbps))
        data = frame(due.index, bytes(size), None if due.lane.pace is None else sending)
        for device in list(self._listeners[topic]):
            device.heard_bytes += size
            self.at(device.link.deliver_at(size + HEADER_BYTES, self.now), lambda d=device: d.hear(topic, data))

    # ---- the broker ----------------------------------------------------------------------------------------------

    def subscribe(self, device: "Device", topic: str) -> None:
        if device not in self._listeners[topic]:
            self._listeners[topic].append(device)
        self.at(device.link.deliver_at(CONFIRMATION_BYTES, self.now), lambda: device.confirm(topic))

    def control(self, device: "Device", every_s: float) -> None:
        """Send the device a control message every so often; `worst_control_s` is how long one took."""

        def send() -> None:
            arrives = device.link.deliver_at(CONTROL_BYTES, self.now)
            device.worst_control_s = max(device.worst_control_s, arrives - self.now)
            self.at(self.now + every_s, send)

        self.at(self.now, send)

    def unsubscribe(self, device: "Device", topic: str) -> None:
        if device in self._listeners[topic]:
            self._listeners[topic].remove(device)


def delivery(lab: Lab, size_bytes: int, chunk_bytes: int = 48 * 1024, golden_bytes: int = 100_000) -> Stages:
    """What a delivery consists of: manifest; golden set, answers and hash list; encoding."""
    small = [(lab.blob(golden_bytes, "golden"), 4096), (lab.blob(1200, "answers"), 4096), (lab.blob(500, "list"), 4096)]
    return [[(lab.blob(1500, "manifest"), 4096)], small, [(lab.blob(size_bytes, "encoding"), chunk_bytes)]]


class Zeros(MemorySink):
    """A sink that looks at no digest."""

    def put(self, index: int, data: bytes) -> Any:
        if index in self.received:
            return "repeated"
        self.received.set(index)
        return "stored"


@dataclass(eq=False)
class Device:
    """One device: fetches a manifest, then the small blobs together, then the encoding."""

    lab: Lab
    name: str
    link: Link
    stages: Stages
    known_kbps: float | None = None
    gives_credit: bool = True
    heard_bytes: int = 0
    wants: int = 0
    asked_bytes: int = 0
    """What its wants took on the link."""
    worst_control_s: float = 0.0
    done_at: float | None = None
    began_at: float = 0.0
    fetcher: Fetcher = field(init=False)

    def __post_init__(self) -> None:
        flow = Flow(self.lab.channel_kbps, self.known_kbps)
        self.fetcher = Fetcher(self, "lte", 3600.0, flow=flow, draw=self.lab.random.random, clock=lambda: self.lab.now)
        self.fetcher.give_credit(self.gives_credit)
        self.lab.devices.append(self)

    @property
    def needed_bytes(self) -> int:
        return sum(blob.size_bytes for stage in self.stages for blob, _ in stage)

    @property
    def seconds(self) -> float:
        return (self.done_at or math.inf) - self.began_at

    def begin(self, at: float) -> None:
        self.began_at = at
        self.lab.at(at, lambda: self._next(0))
        self.lab.at(at, self._tick)

    def _next(self, number: int) -> None:
        if number == len(self.stages):
            self.done_at = self.lab.now
            return
        waiting = {blob.sha256 for blob, _ in self.stages[number]}

        def here(sha256: str) -> None:
            waiting.discard(sha256)
            if not waiting:
                self._next(number + 1)

        for blob, chunk_bytes in self.stages[number]:
            self.fetcher.start(Zeros(blob, chunk_bytes), partial(here, blob.sha256), self._failed)

    def _failed(self, error: Rejected) -> None:
        raise AssertionError(str(error))

    def _tick(self) -> None:
        if not self.done_at:
            at = self.fetcher.tick()
            self.lab.at(max(min(at, self.lab.now + 0.5), self.lab.now + 0.001), self._tick)

    def hear(self, topic: str, data: bytes) -> None:
        self.fetcher.chunk(topic, data)
        if not self.done_at:
            self.fetcher.tick()

    def confirm(self, topic: str) -> None:
        self.fetcher.listening(topic)
        if not self.done_at:
            self.fetcher.tick()

    # The wire.

    def listen(self, topic: str) -> None:
        self.lab.at(self.lab.now + self.link.delay_s, lambda: self.lab.subscribe(self, topic))

    def leave(self, topic: str) -> None:
        self.lab.at(self.lab.now + self.link.delay_s, lambda: self.lab.unsubscribe(self, topic))

    def want(self, request: ChunkRequest) -> None:
        self.wants += 1
        self.asked_bytes += len(encode(request)) + HEADER_BYTES
        self.lab.at(self.lab.now + self.link.delay_s + INGEST_S, lambda: self.lab.take(self.name, request))
