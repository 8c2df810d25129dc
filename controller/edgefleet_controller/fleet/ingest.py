"""What devices say: queued by the bus, committed in batches by one writer thread, acknowledged after COMMIT."""

import logging
import queue
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.fleet.voice import Voice, must_be_told
from edgefleet_controller.ids import now_ms
from edgefleet_controller.records import AdmissionRecord, ExecutionRecord
from edgefleet_controller.rollouts.ahead import after_another
from edgefleet_controller.rollouts.rollout import after_report, after_report_of_return
from edgefleet_controller.settings import CONFLICT_S
from edgefleet_controller.store import Store
from edgefleet_controller.store.devices import Standing
from edgefleet_controller.store.telemetry import StoredWindow
from edgefleet_controller.store.trouble import log_failure
from edgefleet_protocol import latency, topics
from edgefleet_protocol.errors import MalformedMessage, ProtocolError
from edgefleet_protocol.messages import (
    ChunkRequest,
    Presence,
    ReportedModel,
    ReportedState,
    TelemetryWindow,
    decode,
)
from edgefleet_protocol.phases import ENDED

log = logging.getLogger(__name__)

MAX_QUEUED = 20_000
MAX_PENDING = 1_000
"""Devices that may wait to be accepted; more of them are set aside, so that a stranger cannot fill the store."""
BATCH, BATCH_S, GATHER_S = 500, 0.1, 0.01

ToldWindow = tuple[str, TelemetryWindow]
"""Who said it, and what."""


@dataclass(frozen=True)
class SetAside:
    """A message that was no message of ours."""

    at_ms: int
    topic: str
    why: str


class Ingest:
    """The writer thread and its queue.

    When the queue is full, messages are dropped and counted: devices send reports at every heartbeat and telemetry
    until it is acknowledged, so nothing is lost but time.

    A device that nobody added is listed as pending; what else it says is counted and left alone until it is accepted,
    so that its telemetry stays in its own spool.
    """

    def __init__(
        self,
        store: Store,
        voice: Voice,
        want: Callable[[ChunkRequest], None],
        *,
        accept_all: bool = False,
        max_pending: int = MAX_PENDING,
        conflict_s: float = CONFLICT_S,
    ) -> None:
        self._store = store
        self._voice = voice
        self._want = want
        self._identities = Identities(store, conflict_s)
        self._behind: set[str] = set()
        self._accept_all = accept_all
        self._max_pending = max_pending
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer")
        self.counts: Counter[str] = Counter()
        self.set_aside: deque[SetAside] = deque(maxlen=50)

    def offer(self, topic: str, data: bytes) -> None:
        """Queue a message; called on the bus's thread, never blocks."""
        if self._queue.qsize() >= MAX_QUEUED:
            self.counts["dropped"] += 1
            return
        self._queue.put((topic, data))

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                self._commit(batch)
            except Exception as error:
                # A full disk or a damaged file: what is not acknowledged comes again.
                log_failure(log, error, f"a batch of {len(batch)} messages was not stored")
                self.counts["not_stored"] += len(batch)
                time.sleep(BATCH_S)

    def _next_batch(self) -> list[tuple[str, bytes]] | None:
        first = self._queue.get()
        if first is None:
            return None
        # Asleep, not waiting for each message: that would take the interpreter from the thread that receives them.
        until = time.monotonic() + BATCH_S
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
        told: list[ToldWindow] = []
        to_tell: set[str] = set()
        now = now_ms()
        reach("batch_begun")
        with self._store.rollouts.transaction():
            for topic, data in batch:
                try:
                    sender = topics.parse_up(topic)
                    self.counts[sender.kind] += 1
                    self._take(sender, data, now, told, to_tell)
                except ProtocolError as error:
                    self._put_aside(topic, str(error))
                except sqlite3.Error:
                    raise
                except Exception as error:
                    # A fault of ours that one message shows must not hold up everyone else's.
                    log.exception("a message on %r could not be taken", topic[:200])
                    self._put_aside(topic, f"{type(error).__name__}: {error}")
            windows = self._of_the_fleet(told, now)
            # Within the transaction: a device that is being removed leaves no window behind.
            stored = self._store.telemetry.put(windows) if windows else {}
            if windows:
                reach("windows_stored")
        reach("batch_committed")
        self.counts["windows"] += len(windows)
        # Before the acknowledgements: an agent that has to part from an incarnation keeps what is stored under it.
        while self._behind:
            self._voice.correct(self._behind.pop())
        self._voice.acknowledge(stored)
        if stored:
            reach("batch_acknowledged")
        self._voice.desire(sorted(to_tell))
        reach("batch_told")

    def _put_aside(self, topic: str, why: str) -> None:
        self.counts["set_aside"] += 1
        log.warning("a message on %r was set aside: %s", topic[:200], why)
        self.set_aside.append(SetAside(now_ms(), topic[:200], why))

    def _take(self, sender: topics.UpTopic, data: bytes, now: int, told: list[ToldWindow], to_tell: set[str]) -> None:
        device = sender.device
        match sender.kind:
            case "reported":
                if self._take_report(device, decode(ReportedState, data), now):
                    to_tell.add(device)
            case "presence":
                presence = decode(Presence, data)
                self._store.devices.put_presence(device, presence.incarnation, presence.online, now)
            case "telemetry":
                window = decode(TelemetryWindow, data)
                if window.latency is not None:
                    latency.check(window.latency)
                told.append((device, window))
            case "want":
                request = decode(ChunkRequest, data)
                if self._store.devices.admission(device) is None:
                    self.counts["of_pending"] += 1
                else:
                    self._want(request)

    def _of_the_fleet(self, told: list[ToldWindow], now: int) -> list[StoredWindow]:
        """Windows of devices that belong to the fleet; the others are counted and left alone."""
        senders = self._store.devices.senders({device for device, _ in told}) if told else {}
        windows = [StoredWindow(device, window, senders[device], now) for device, window in told if device in senders]
        self.counts["of_pending"] += len(told) - len(windows)
        return windows

    def _take_report(self, device: str, reported: ReportedState, now: int) -> bool:
        """Keep a snapshot and what it means for executions; whether the device must be told what to run."""
        known = self._store.devices.standing(device)
        admitted = known.accepted or self._admit(device, known, now)
        if known.in_conflict or known.incarnation not in (None, reported.incarnation):
            self._identities.hear(device, reported.incarnation, now)
        if not self._store.devices.put_report(device, reported, now):
            self._behind.add(device)
            return False
        if not admitted:
            return False
        for name, model in reported.models.items():
            if model.newer_phase:
                self.counts["newer_phases"] += 1
                log.warning("%s is in a phase that only a newer agent knows: %s", device, model.newer_phase)
            named = model.attempt.rollout if model.attempt else None
            concerned = self._store.rollouts.concerned(device, name, named)
            if changed := [new for old, new in _changed(concerned, model, now) if _is_news(old, new)]:
                self._store.rollouts.put_executions(changed)
        reach("report_taken")
        return must_be_told(self._store.devices.desired(device), reported)

    def _admit(self, device: str, known: Standing, now: int) -> bool:
        """Whether a device that nobody has accepted yet is let in.

        Raises:
            MalformedMessage: it does not, and there is no room for another one that waits.
        """
        devices = self._store.devices
        if self._accept_all:
            devices.admit(AdmissionRecord(device=device, accepted_ms=now))
        elif known.incarnation is None and devices.count_pending() >= self._max_pending:
            raise MalformedMessage(f"{self._max_pending} devices wait to be accepted already: accept or remove some")
        return self._accept_all


def _changed(
    known: Iterable[ExecutionRecord], model: ReportedModel, now: int
) -> Iterable[tuple[ExecutionRecord, ExecutionRecord]]:
    """Executions that a device's word about one model concerns: as they were, and as they are now."""
    attempt = model.attempt
    for execution in known:
        if attempt and (moved := after_another(execution, attempt, now)):
            yield execution, moved
            continue
        if execution.generation is None:
            continue
        if attempt and attempt.generation == execution.generation and attempt.rollout == execution.rollout:
            after = after_report(execution, attempt.phase, attempt.reason, attempt.detail, now)
            transfer = attempt.transfer
            changes = {"transfer_s": transfer.seconds, "transfer_bytes": transfer.bytes_done}
            yield execution, after.model_copy(update=changes)
        elif attempt and attempt.generation == execution.back_generation and attempt.rollout == execution.rollout:
            yield execution, after_report_of_return(execution, attempt.phase, attempt.reason, now)
        elif model.newer_phase and execution.generation == model.generation:
            yield execution, execution.model_copy(update={"heard_ms": now})
        elif execution.generation < model.generation and execution.phase not in ENDED:
            yield execution, after_report(execution, "superseded", None, "a higher generation took its place", now)


def _is_news(old: ExecutionRecord, new: ExecutionRecord) -> bool:
    """Whether a report has to be written down: that an ended one is still heard of matters to nobody."""
    return new.phase not in ENDED or new.model_copy(update={"heard_ms": old.heard_ms}) != old
