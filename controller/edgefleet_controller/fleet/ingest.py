"""Messages from devices: queued by the bus, committed in batches by one writer thread, acknowledged after COMMIT."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import StoreError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.counts import NOT_TAKEN, Counted
from edgefleet_controller.fleet.delivery_hours import DeliveryHours
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.following import follow_up
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.fleet.reports import Reports
from edgefleet_controller.fleet.wants import Allowed
from edgefleet_controller.settings import CONFLICT_S
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.windows import Stored, StoredWindow, WindowNumber
from edgefleet_controller.trouble import log_failure
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows
from edgefleet_protocol import latency, topics
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.messages import (
    ChunkRequest,
    Presence,
    ReportedState,
    TelemetryWindow,
    decode,
)

log = logging.getLogger(__name__)

MAX_QUEUED = 20_000
MAX_PENDING = 1_000
"""How many devices may wait to be accepted; reports of more are set aside, so that strangers cannot fill the store."""
BATCH, BATCH_S, GATHER_S = 1_000, 0.1, 0.01
WANT: topics.UpKind = "want"


class ToldWindows(NamedTuple):
    """The telemetry of a batch, each with its device: windows, and the numbers of those that were set aside."""

    read: list[tuple[str, TelemetryWindow]]
    unreadable: list[tuple[str, WindowNumber]]

    def __len__(self) -> int:
        return len(self.read) + len(self.unreadable)


@dataclass(frozen=True)
class SetAside:
    """A message that could not be read and was set aside."""

    at_ms: int
    topic: str
    why: str


class Ingest:
    """The writer thread and its queue.

    When the queue is full, messages are dropped and counted. Only time is lost: devices report at every heartbeat, and
    send telemetry again until it is acknowledged.

    A device that nobody added is listed as pending. Its other messages are counted and ignored until it is accepted;
    meanwhile its telemetry stays in its own spool.
    """

    def __init__(
        self,
        store: Store,
        desired: DesiredPublisher,
        want: Callable[[ChunkRequest, float, str], None],
        *,
        allows: Allowed,
        windows: RegionWindows = NO_WINDOWS,
        accept_all: bool = False,
        max_pending: int = MAX_PENDING,
        conflict_s: float = CONFLICT_S,
    ) -> None:
        self._store = store
        self._desired = desired
        self._want, self._allows = want, allows
        self._behind: set[str] = set()
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer")
        self.counts: Counter[Counted] = Counter()
        self._reports = Reports(
            store.fleet,
            Identities(store.fleet, conflict_s),
            self.counts,
            accept_all=accept_all,
            max_pending=max_pending,
            windows=windows,
        )
        self._deliveries = DeliveryHours(store.fleet, windows)
        self.set_aside: deque[SetAside] = deque(maxlen=50)

    def offer(self, topic: str, data: bytes) -> None:
        """Queue a message without blocking; called on the bus's thread."""
        if self._queue.qsize() >= MAX_QUEUED:
            self.counts["dropped"] += 1
            return
        self._queue.put((topic, data))

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        self._store_windows(ToldWindows([], []), now_ms())  # follow-ups that a kill left pending
        while (batch := self._next_batch()) is not None:
            self._commit(batch)

    def _untaken(self) -> int:
        return sum(self.counts[why] for why in NOT_TAKEN)

    def _next_batch(self) -> list[tuple[str, bytes]] | None:
        first = self._queue.get()
        if first is None:
            return None
        # Sleep rather than wait for each message, which would take the GIL from the receiving thread. A device that
        # wants more waits for us, and its link lies idle: its want is not kept for a large batch.
        until = time.monotonic() + (GATHER_S if first[0].endswith(WANT) else BATCH_S)
        while self._queue.qsize() < BATCH and time.monotonic() < until:
            time.sleep(GATHER_S)
        batch = [first]
        while len(batch) < BATCH and self._queue.qsize():
            message = self._queue.get()
            if message is None:
                self._queue.put(None)
                break
            batch.append(message)
        return batch

    def _commit(self, batch: list[tuple[str, bytes]]) -> None:
        now, untaken = now_ms(), self._untaken()
        reach("batch_begun")
        try:
            told, to_tell = self._take_batch(batch, now)
        except Exception as error:
            # A full disk or a damaged file: devices send again what is not acknowledged.
            log_failure(log, error, f"a batch of {len(batch)} messages was not stored")
            self.counts["not_stored"] += len(batch) - (self._untaken() - untaken)
            time.sleep(BATCH_S)
            return
        try:
            self._follow(told, to_tell, now)
        except Exception as error:  # what is stored stays so; devices are told at their next report
            log_failure(log, error, f"what follows from {len(batch)} messages was not told")
            time.sleep(BATCH_S)

    def _follow(self, told: ToldWindows, to_tell: set[str], now: int) -> None:
        """Store the windows of a batch, and tell devices what follows from it."""
        reach("reports_committed")
        stored = self._store_windows(told, now)
        reach("batch_committed")
        # Before the acknowledgements: an agent that must take a new incarnation needs to hear this first.
        while self._behind:
            self._desired.correct(self._behind.pop())
        self._desired.acknowledge(stored)
        if stored:
            reach("batch_acknowledged")
        self._desired.desire(sorted(to_tell))
        reach("batch_told")

    def _take_batch(self, batch: list[tuple[str, bytes]], now: int) -> tuple[ToldWindows, set[str]]:
        """Store all but telemetry, in one transaction; returns the windows, and the devices to tell their state."""
        told = ToldWindows([], [])
        reports: dict[str, ReportedState] = {}
        to_tell: set[str] = set()
        sent = list(self._addressed(batch))
        with self._store.fleet.transaction():
            for topic, sender, data in sent:
                try:
                    if sender.device in reports:  # keep the order of its messages
                        self._take_reports(reports, now, to_tell)
                    if sender.kind == "reported":
                        reports[sender.device] = decode(ReportedState, data)
                    else:
                        self._take(sender, data, now, told)
                except Exception as error:
                    self._set_aside_for(topic, error)
            self._take_reports(reports, now, to_tell)
        return told, to_tell

    def _addressed(self, batch: list[tuple[str, bytes]]) -> Iterator[tuple[str, topics.UpTopic, bytes]]:
        """The messages of a batch, each with its sender, counted by kind; other topics' are set aside."""
        for topic, data in batch:
            try:
                sender = topics.parse_up(topic)
            except Exception as error:
                self._set_aside_for(topic, error)
            else:
                self.counts[sender.kind] += 1
                yield topic, sender, data

    def _store_windows(self, told: ToldWindows, now: int) -> dict[tuple[str, str], int]:
        """Store windows; returns up to which number each incarnation's are stored, or {} if storing failed."""
        try:
            follow_up(self._store)
            if not told:
                return {}
            # Inside the transaction: a device removed meanwhile is already gone, or its removal waits for us.
            with self._store.telemetry.transaction():
                windows, unreadable = self._of_the_fleet(told, now)
                put = self._store.telemetry.windows.put(windows) if windows else Stored({}, 0)
                through = put.through
                if unreadable:
                    through = through | self._store.telemetry.windows.pass_over(unreadable)
        except Exception as error:
            # The reports are committed, so devices must still be told what follows from them.
            log_failure(log, error, f"{len(told)} windows were not stored")
            self.counts["not_stored"] += len(told.read)  # those that were set aside are counted as that
            time.sleep(BATCH_S)
            return {}
        self.counts["of_pending"] += len(told.read) - len(windows)
        self.counts["windows"] += put.new
        self.counts["windows_repeated"] += len(windows) - put.new
        return through

    def _put_aside(self, topic: str, why: str) -> None:
        self.set_aside.append(SetAside(now_ms(), topic[:200], why))
        self.counts["set_aside"] += 1
        log.warning("a message on %r was set aside: %s", topic[:200], why)

    def _set_aside_for(self, topic: str, error: Exception) -> None:
        """Set aside one bad message, so that it doesn't hold up the others; errors of the store are raised."""
        if isinstance(error, StoreError):
            raise error
        if isinstance(error, ProtocolError):
            self._put_aside(topic, str(error))
            return
        log.error("a message on %r could not be taken", topic[:200], exc_info=error)  # a bug
        self._put_aside(topic, f"{type(error).__name__}: {error}")

    def _take_reports(self, reports: dict[str, ReportedState], now: int, to_tell: set[str]) -> None:
        """Take the collected reports all at once, or one by one if a bug makes that fail."""
        try:
            with self._store.fleet.transaction():
                taken = [self._reports.take(reports, now)] if reports else []
        except StoreError:
            raise
        except Exception:
            taken = []
            for device, reported in reports.items():
                try:
                    with self._store.fleet.transaction():
                        taken.append(self._reports.take({device: reported}, now))
                except Exception as error:
                    self._set_aside_for(topics.up(device, "reported"), error)
        reports.clear()
        for part in taken:
            to_tell |= part.to_tell
            self._behind |= part.behind
            for device, why in part.refused.items():
                self._put_aside(topics.up(device, "reported"), why)

    def _take(self, sender: topics.UpTopic, data: bytes, now: int, told: ToldWindows) -> None:
        device = sender.device
        match sender.kind:
            case "presence":
                presence = decode(Presence, data)
                self._store.fleet.devices.put_presence(device, presence.incarnation, presence.online, now)
            case "telemetry":
                try:
                    told.read.append((device, _window(data)))
                except ProtocolError:
                    self.counts["windows_set_aside"] += 1
                    with suppress(ProtocolError):
                        told.unreadable.append((device, decode(WindowNumber, data)))
                    raise
            case "want":
                self._take_want(device, decode(ChunkRequest, data), now)

    def _take_want(self, device: str, request: ChunkRequest, now: int) -> None:
        if self._store.fleet.devices.admission(device) is None:
            self.counts["of_pending"] += 1
            return
        Bitmap.from_text(request.chunks, request.missing)  # what is malformed is set aside, whatever it asks for
        if not self._allows(device, request):
            self.counts["not_for_it"] += 1
        elif left_s := self._deliveries.left_s(device, now):
            self._want(request, left_s, device)
        else:
            self.counts["outside_window"] += 1

    def _of_the_fleet(self, told: ToldWindows, now: int) -> tuple[list[StoredWindow], list[tuple[str, WindowNumber]]]:
        """What devices sent that belong to the fleet; the windows of others are ignored."""
        sent_by = {device for device, _ in (*told.read, *told.unreadable)}
        senders = self._store.fleet.devices.senders(sent_by) if sent_by else {}
        windows = [StoredWindow(device, one, senders[device], now) for device, one in told.read if device in senders]
        return windows, [(device, number) for device, number in told.unreadable if device in senders]


def _window(data: bytes) -> TelemetryWindow:
    """A window that can be relied on as far as it tells."""
    window = decode(TelemetryWindow, data)
    if window.latency is not None:
        latency.check(window.latency)
    return window
