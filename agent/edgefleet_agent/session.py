"""The session: one loop that owns all state and turns events into effects."""

import json
import logging
import random
import time
from collections.abc import Callable
from functools import partial

from edgefleet_agent.bus import AgentBus
from edgefleet_agent.device import Device
from edgefleet_agent.endpoint import Endpoint, open_endpoint
from edgefleet_agent.events import (
    Connected,
    Disconnected,
    Ended,
    Inbox,
    InboxEvent,
    InTrouble,
    Received,
    SelfTested,
    Started,
    Subscribed,
    Unpacked,
)
from edgefleet_agent.facts import Described
from edgefleet_agent.failpoints import reach
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.files import LateFile
from edgefleet_agent.identity import Identity, begin_anew, is_copy
from edgefleet_agent.installation import Installation
from edgefleet_agent.journal import Journal
from edgefleet_agent.lifecycle import Effect
from edgefleet_agent.measured_link import MeasuredLink
from edgefleet_agent.own_features import own_features
from edgefleet_agent.progress_reports import ProgressReports
from edgefleet_agent.recent import Key
from edgefleet_agent.records import RecordFile
from edgefleet_agent.report import report_models
from edgefleet_agent.serving import Serving
from edgefleet_agent.settings import AgentSettings
from edgefleet_agent.slots import Slots
from edgefleet_agent.spool import Spool
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.version import agent_version
from edgefleet_agent.watchdog import Watchdog
from edgefleet_agent.windows import DeviceWindows
from edgefleet_process.clocks import clock_is_trusted, wall_ms
from edgefleet_profiles.parts import Act
from edgefleet_protocol import topics
from edgefleet_protocol.errors import MalformedMessage, ProtocolError
from edgefleet_protocol.features import CREDIT
from edgefleet_protocol.messages import (
    MAX_MODELS,
    Acked,
    DesiredState,
    Hello,
    Presence,
    ReportedState,
    Transfer,
    decode,
    encode,
)

log = logging.getLogger("edgefleet.agent")

SWITCHES: frozenset[Effect] = frozenset({"start_trial", "roll_back", "fall_silent", "stop_answering", "adopt"})
"""Effects that change which variant answers, if any: the open windows end there."""
POLL_S = 0.5
RESEND_HEARTBEATS = 0.5


class Session:
    """One run of the agent on one device.

    Args:
        settings: the operator's settings.
        described: what the device is.
        identity: which life and boot this is.
    """

    def __init__(self, settings: AgentSettings, described: Described, identity: Identity) -> None:
        self._settings, self._described, self._identity = settings, described, identity
        self.inbox = Inbox()
        self._watchdog = Watchdog()
        self._recorder = Recorder(time.monotonic, wall_ms)
        self._serving = Serving(self._recorder, self._status)
        heartbeat_s, broker = settings.heartbeat_s, settings.broker_settings
        self._bus = AgentBus(broker, settings.device, self._presence, heartbeat_s, self.inbox)
        self._windows = DeviceWindows(settings.state)
        self._link = MeasuredLink(settings.state, described.link)
        self._fetcher = Fetcher(
            *(self._bus, described.link.name, settings.stall_s),
            may_fetch=partial(self._windows.may, "fetch"),
            flow=self._link.flow,
        )
        self._device = self._open_device()
        self._installations: dict[str, Installation] = {}
        resend_s = max(RESEND_HEARTBEATS * heartbeat_s, 1.0)
        may_leave = described.region.may_leave
        self._spool = Spool(settings.state, identity.incarnation, may_leave, resend_s, expected=identity.boot > 1)
        self._reports = identity.first_report
        self._set_aside = 0
        self._waiting: dict[str, Act] = {}
        self._changed = False
        self._progress = ProgressReports(heartbeat_s)
        self._endpoint: Endpoint | None = None
        self._late = [identity.file]
        self._snapshot = self._report()
        now_s = time.monotonic()
        self._report_at_s, self._window_at_s = now_s + heartbeat_s, now_s + settings.window_s

    def run(self) -> None:
        """Resume, connect, and handle events until the system asks the agent to end."""
        self._listen()
        self._wake()
        self._bus.start()
        self._watchdog.ready()
        try:
            while True:
                self._watchdog.alive()
                event = self.inbox.get(self._tick())
                if isinstance(event, Ended):
                    return
                if event is not None:
                    self._take(event)
        finally:
            self._end()
            log.info("ended")

    def _status(self) -> bytes:
        """The last report, and the broker that we are connected to."""
        return json.dumps({**json.loads(encode(self._snapshot)), "broker": self._bus.where}).encode()

    def _open_device(self) -> Device:
        state = self._settings.state
        records = RecordFile(state)
        if records.set_aside:
            log.error(records.set_aside)
        return Device(
            folder=state,
            facts=self._described.facts,
            records=records,
            journal=Journal(state),
            slots=Slots(state),
            fetcher=self._fetcher,
            link=self._link,
            windows=self._windows,
            post=self.inbox.put,
            threads=self._settings.threads,
        )

    def _listen(self) -> None:
        kept = self._settings.state / "endpoint"
        names = self._settings.http_names
        self._endpoint = open_endpoint(*self._settings.http_address, self._serving, kept, names)
        self._late.append(LateFile(kept, self._endpoint.url.encode()))
        reach("endpoint_written")
        for note in self._described.notes:
            log.warning("not as described: %s", note)
        log.info("started: edgefleet %s, boot %d, %s", agent_version(), self._identity.boot, self._endpoint.url)

    def _wake(self) -> None:
        for model in self._device.records.models:
            self._installation(model).wake()
        self._snapshot = self._report()

    def _installation(self, model: str) -> Installation:
        if model not in self._installations:
            made = self._installations[model] = Installation(model, self._device, self._on_change)
            self._serving.add(model, made.answering, lambda: bool(made.record and made.record.has_committed))
        return self._installations[model]

    # ---- events --------------------------------------------------------------------------------------------------

    def _take(self, event: InboxEvent) -> None:
        match event:
            case Received():
                self._receive(event)
            case Subscribed():
                for topic in self._bus.confirmed(event):
                    self._fetcher.listening(topic)
            case Connected():
                self._fetcher.connected()
                self._spool.forget_sent()
                self._changed = True
            case Disconnected():
                self._fetcher.disconnected()
            case Unpacked():
                self._installation(event.model).unpacked(event)
            case SelfTested():
                self._installation(event.model).self_tested(event)
            case Started():
                self._installation(event.model).started(event)
            case InTrouble():
                self._in_trouble(event)

    def _receive(self, message: Received) -> None:
        device = self._settings.device
        receivers: dict[str, Callable[[bytes], None]] = {
            topics.desired(device): partial(self._desired, retained=message.retained),
            topics.acked(device): self._acked,
            topics.HELLO: self._hello,
        }
        receive = receivers.get(message.topic, partial(self._fetcher.chunk, message.topic, arrived_s=message.arrived_s))
        try:
            receive(message.data)
        except ProtocolError as error:
            self._set_aside += 1
            log.warning("a message on %r was set aside: %s", message.topic, error)

    def _desired(self, data: bytes, *, retained: bool) -> None:
        if not data:
            return  # the retained message was cleared: the controller has forgotten us, and nothing changes
        told = decode(DesiredState, data)
        wanted = told.models
        if len(self._installations.keys() | wanted.keys()) > MAX_MODELS:
            raise MalformedMessage(f"more than {MAX_MODELS} models on one device")
        self._windows.hear(told, retained=retained)
        self._fetcher.give_credit(CREDIT in told.features)
        for model, desired in wanted.items():
            reach("desired_received")
            self._installation(model).desire(desired)

    def _acked(self, data: bytes) -> None:
        acked = decode(Acked, data)
        if is_copy(self._identity, self._reports, acked):
            self._begin_anew(
                "the state folder is a copy or was restored, and its incarnation has moved on", acked.through
            )
        else:
            self._spool.acked(acked.incarnation, acked.through)

    @property
    def _presence(self) -> Presence:
        return Presence(online=True, incarnation=self._identity.incarnation, boot=self._identity.boot)

    def _begin_anew(self, why: str, through: int = 0) -> None:
        """Continue under a new incarnation: we must not use more numbers of this one."""
        left = self._identity.incarnation
        self._identity, self._reports = begin_anew(self._settings.state), 0
        self._late = [self._identity.file]
        log.warning("%s: leaving incarnation %s, going on as %s", why, left, self._identity.incarnation)
        self._spool.begin_anew(self._identity.incarnation, through)
        self._bus.introduce_as(self._presence)

    def _hello(self, data: bytes) -> None:
        hello = decode(Hello, data)
        self._report_at_s = min(self._report_at_s, time.monotonic() + random.uniform(0, hello.jitter_s))
        self._fetcher.give_credit(CREDIT in hello.features)
        self._fetcher.hello(hello.jitter_s)
        self._spool.forget_sent()

    def _in_trouble(self, event: InTrouble) -> None:
        slot = event.trouble.slot
        if event.trouble.asked:
            key = Key(event.model, slot.model_version, slot.variant, slot.generation)
            self._recorder.failed(key, event.trouble.not_finite)
        self._installation(event.model).in_trouble(event.trouble)

    def _on_change(self, model: str, effect: Effect) -> None:
        self._changed = True
        if effect in SWITCHES:
            self._close_windows(model)

    # ---- time ----------------------------------------------------------------------------------------------------

    def _tick(self) -> float:
        """Do what is due; returns the seconds until something may be due again."""
        now_s = time.monotonic()
        if self._spool.lost:
            self._begin_anew(self._spool.lost)
        next_s = min([one.tick(now_s) for one in self._installations.values()] + [self._fetcher.tick()])
        waiting = {model: act for model, one in self._installations.items() if (act := one.waits_for)}
        if waiting != self._waiting:
            for model, act in waiting.items() - self._waiting.items():
                log.info("%s: waits until its region's window to %s opens", model, act)
            self._waiting, self._changed = waiting, True
        if now_s >= self._window_at_s:
            self._window_at_s = now_s + self._settings.window_s
            self._close_windows()
        if self._changed or now_s >= self._report_at_s or self._has_progress(now_s):
            self._say(now_s)
        if self._bus.connected:
            for window in self._spool.due(now_s):
                self._bus.publish("telemetry", window)
                reach("window_sent")
        self._bus.check()
        return min(POLL_S, max(min(next_s, self._report_at_s, self._window_at_s) - now_s, 0.0))

    def _close_windows(self, model: str | None = None) -> None:
        for window in self._recorder.close(model):
            self._spool.add(window.model_copy(update={"clock_trusted": clock_is_trusted()}))

    def _say(self, now_s: float) -> None:
        """Send a complete report; the next is due after a heartbeat, give or take a tenth."""
        self._changed = False
        self._report_at_s = now_s + self._settings.heartbeat_s * random.uniform(0.9, 1.1)
        self._settle()
        self._reports += 1
        self._snapshot = self._report()
        self._bus.publish("reported", self._snapshot, qos=1)
        self._progress.reported(self._downloads(), len(encode(self._snapshot)), now_s)
        reach("report_sent")

    def _downloads(self) -> list[Transfer]:
        found = ((one.record, one.transfer) for one in self._installations.values())
        return [so_far for record, so_far in found if so_far and record and record.attempt.phase == "downloading"]

    def _has_progress(self, now_s: float) -> bool:
        return self._progress.may_be_due(now_s) and self._progress.is_due(self._downloads(), now_s)

    def _settle(self) -> None:
        """Write what could not be written before."""
        for file in self._late:
            file.settle()
        self._windows.settle()
        self._link.keep()
        if self._spool.trouble:
            self._spool.settle()

    def _report(self) -> ReportedState:
        troubles = [self._spool.trouble, *(one.trouble for one in self._installations.values())]
        return ReportedState(
            incarnation=self._identity.incarnation,
            boot=self._identity.boot,
            report=self._reports,
            agent_version=agent_version(),
            features=own_features(),
            sent_ms=wall_ms(),
            clock_trusted=clock_is_trusted(),
            facts=self._described.facts,
            host_facts=self._described.host_facts,
            labels=self._settings.labels,
            endpoint=self._endpoint.url if self._endpoint else None,
            models=report_models(self._installations),
            set_aside=self._set_aside + self._fetcher.dropped.malformed,
            spooled_windows=len(self._spool),
            dropped_windows=self._spool.dropped,
            disk_trouble=next(filter(None, troubles), None),
            measured_kbps=self._link.flow.measured_kbps,
        )

    def _end(self) -> None:
        """End within two seconds: workers, connection, endpoint and files."""
        self._watchdog.stopping()
        for installation in self._installations.values():
            installation.stop()
        self._close_windows()
        self._bus.close()
        if self._endpoint:
            self._endpoint.close()
        self._spool.close()
