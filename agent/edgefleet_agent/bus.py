"""The only file that speaks MQTT: one connection, renewed with full jitter, whose callbacks never raise.

MQTT 3.1.1, clean session, everything subscribed at QoS 0 at every connect. paho's thread only queues, and takes no lock
of ours: it calls back while it holds its own. Every connection gets a fresh client: nothing that broke one connection
is sent again on the next.
"""

import logging
import random
import socket
import ssl
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel

from edgefleet_agent.errors import SettingsError
from edgefleet_agent.events import Connected, Disconnected, Inbox, Received, Subscribed
from edgefleet_agent.settings import BrokerSettings
from edgefleet_process.causes import in_words
from edgefleet_process.logins import trusting
from edgefleet_protocol import topics
from edgefleet_protocol.broker_address import BrokerAddress, BrokerOrder
from edgefleet_protocol.messages import MAX_MESSAGE_BYTES, ChunkRequest, Presence, encode
from edgefleet_protocol.topics import UpKind

log = logging.getLogger("edgefleet.agent.bus")
packets = logging.getLogger("edgefleet.agent.bus.packets")
unheard = logging.Logger("a connection that we have left", logging.CRITICAL + 1)
"""paho 2.2 logs an error when its loop finds the socket closed, also where it was asked to close it."""

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
STEADY_S = 10.0
"""A connection that lasted this long did not fail: the next pause is short again."""
CONNECT_TIMEOUT_S = 5.0
STOP_S = 2.0
QUIET_HEARTBEATS = 3
MIN_QUIET_S = 30.0


def _introduce(client: Client, broker: BrokerSettings, address: BrokerAddress) -> None:
    """Give a client our login; reads password and certificates each time, so that they can be changed.

    Raises:
        UnusableLogin: one of them cannot be used.
    """
    client.connect_timeout = CONNECT_TIMEOUT_S
    if address.tls:
        client.tls_set_context(trusting(broker.ca_file))
    if broker.username:
        client.username_pw_set(broker.username, broker.password())


def longest_pause_s(failures: int, heartbeat_s: float) -> float:
    """The upper limit of the random pause before the next attempt to connect, in seconds.

    A whole fleet loses its broker at once: the longer its heartbeat, the more it spreads its return.

    Args:
        failures: rounds in a row in which every address failed, or its connection ended within `STEADY_S`.
        heartbeat_s: seconds between reports.
    """
    doubled: int = 2 ** min(failures, 8)
    return min(max(FIRST_PAUSE_S, heartbeat_s / 10) * doubled, MAX_PAUSE_S)


def try_broker(
    broker: BrokerSettings, address: BrokerAddress, device: str, timeout_s: float = CONNECT_TIMEOUT_S
) -> None:
    """Connect once and disconnect.

    Raises:
        SettingsError: the broker is unreachable or refuses us; says what to check.
    """
    where, answer = f"{address.host}:{address.port}", SimpleQueue[ReasonCode]()
    name = f"{device}-{uuid4().hex[:8]}"
    client = Client(
        CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False
    )
    client.on_connect = lambda _, __, ___, reason, ____: answer.put(reason)
    try:
        _introduce(client, broker, address)
        client.connect(address.host, address.port)
    except OSError as error:
        raise SettingsError(f"no connection to {where}: {in_words(error)}; {_advice(error)}") from None
    client.loop_start()
    try:
        reason = answer.get(timeout=timeout_s)
    except Empty:
        raise SettingsError(
            f"{where} accepts the connection but does not answer: is it a broker, and with mqtts://?"
        ) from None
    finally:
        client.disconnect()
        client.loop_stop()
    if reason.is_failure:
        raise SettingsError(f"{where} refuses the connection ({reason}): check --username and --password-file")


def _advice(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "check --ca-file, and that --broker has the name in the certificate"
    if isinstance(error, ssl.SSLError):
        return "does the broker speak TLS on that port? without TLS it is mqtt://"
    if isinstance(error, socket.gaierror):
        return "check the name in --broker"
    return "check the address in --broker, and the network"


class AgentBus:
    """The device's connection to its broker.

    Args:
        broker: the addresses, which are tried in order, and our login.
        device: the device id.
        presence: published at connect and, with `online` false, as the last will.
        heartbeat_s: seconds between reports, whose acknowledgements show that the connection works.
        inbox: gets every event.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        device: str,
        presence: Presence,
        heartbeat_s: float,
        inbox: Inbox,
    ) -> None:
        self._broker, self._device, self._presence = broker, device, presence
        self._order = BrokerOrder(broker.addresses)
        self._silent = False
        self._heartbeat_s, self._inbox = heartbeat_s, inbox
        self._client_id = f"{device}-{uuid4().hex[:8]}"
        self._keepalive_s = max(5, min(60, round(heartbeat_s)))
        self._client: Client | None = None
        self._gone = threading.Event()
        self._connections = 0
        self._subscribing: dict[tuple[int, int], list[str]] = {}
        self._acked_mids: deque[int] = deque(maxlen=256)
        self._last_mid = -1
        self._ending = threading.Event()
        self._heard_s = time.monotonic()
        self._accepted_s: float | None = None  # when the broker let this connection in
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self.too_large = 0

    @property
    def connected(self) -> bool:
        """Whether we are connected."""
        return self._client is not None

    @property
    def where(self) -> str | None:
        """The address of the broker that we are connected to."""
        return str(self._order.address) if self._client else None

    def start(self) -> None:
        """Connect, and reconnect whenever the connection is lost."""
        self._thread.start()

    def publish(self, kind: UpKind, message: BaseModel, qos: int = 0) -> int | None:
        """Publish a message; returns its packet id, or None without a connection or if the message is too large."""
        client = self._client
        if client is None:
            return None
        data = encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
            # A broker would close the connection for it, each time that it is sent.
            self.too_large += 1
            log.error("%s not sent: it has %d bytes, at most %d are allowed", kind, len(data), MAX_MESSAGE_BYTES)
            return None
        told = client.publish(topics.up(self._device, kind), data, qos)
        if qos:
            self._last_mid = told.mid
        return told.mid if told.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def listen(self, topic: str) -> None:
        """Subscribe; `Subscribed` follows once the broker has confirmed."""
        if client := self._client:
            self._subscribe(client, [topic])

    def confirmed(self, event: Subscribed) -> list[str]:
        """The topics that the broker granted; called by the loop, which also subscribes."""
        names = self._subscribing.pop((event.connection, event.mid), [])
        return [name for name, granted in zip(names, event.granted, strict=False) if granted]

    def leave(self, topic: str) -> None:
        """Unsubscribe."""
        if client := self._client:
            client.unsubscribe(topic)

    def want(self, request: ChunkRequest) -> None:
        """Request what is missing of a blob."""
        self.publish("want", request)

    def introduce_as(self, presence: Presence) -> None:
        """Reconnect with another presence: a connection's last will cannot change."""
        self._presence = presence
        self._gone.set()

    def check(self) -> None:
        """Drop a connection on which nothing was heard for three heartbeats: it may be dead."""
        if self._last_mid in self._acked_mids:
            self._heard_s = time.monotonic()
            self._last_mid = -1
        quiet_s = max(QUIET_HEARTBEATS * self._heartbeat_s, MIN_QUIET_S)
        if self._client and time.monotonic() - self._heard_s > quiet_s:
            log.warning("nothing heard for %.0f s: reconnecting", quiet_s)
            self._silent = True
            self._gone.set()

    def close(self, timeout_s: float = 0.5) -> None:
        """Publish that we are offline, wait for the acknowledgement, and disconnect."""
        self._ending.set()
        mid = self.publish("presence", self._presence.model_copy(update={"online": False}), qos=1)
        deadline_s = time.monotonic() + timeout_s
        while mid is not None and mid not in self._acked_mids and time.monotonic() < deadline_s:
            time.sleep(0.005)
        self._gone.set()
        self._thread.join(timeout_s)

    # ---- the connection's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending.is_set():
            stood_s = self._connect_once(self._order.address)
            if self._ending.is_set():
                return
            self._order.ended(steady=stood_s > STEADY_S, silent=self._silent)
            longest_s = longest_pause_s(self._order.rounds, self._heartbeat_s)
            pause_s = random.uniform(0, longest_s)
            told = "not connected: next attempt in %.3f s (random, at most %g s), at %s"
            log.info(told, pause_s, longest_s, self._order.address)
            self._ending.wait(pause_s)

    def _connect_once(self, address: BrokerAddress) -> float:
        """One connection, from start to end; returns how long it lasted, in seconds."""
        self._gone.clear()
        self._accepted_s, self._silent = None, False
        self._connections += 1
        try:
            client = self._fresh_client(address)
        except Exception as error:  # the password or certificate file may still be missing
            log.warning("no connection: %s", error)
            return 0.0
        try:
            client.connect(address.host, address.port, self._keepalive_s)
            client.loop_start()
            self._gone.wait()
        except Exception as error:  # refused, unreachable, or a bug in a library: try again
            log.info("no connection to %s: %s", address, error)
        stood_s = 0.0 if self._accepted_s is None else time.monotonic() - self._accepted_s
        self._lost(client)
        client.enable_logger(unheard)
        client.disconnect()
        # A network thread that is stuck on a dead connection is left behind.
        stopping = threading.Thread(target=client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(STOP_S)
        return stood_s

    def _fresh_client(self, address: BrokerAddress) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.enable_logger(packets)
        gone = self._presence.model_copy(update={"online": False})
        client.will_set(topics.up(self._device, "presence"), encode(gone), qos=1)
        _introduce(client, self._broker, address)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe, client.on_publish = (
            self._on_message,
            self._on_subscribe,
            self._on_publish,
        )
        return client

    def _subscribe(self, client: Client, names: list[str]) -> None:
        _, mid = client.subscribe([(name, 0) for name in names])
        if mid is not None:
            self._subscribing[self._connections, mid] = names

    def _lost(self, client: Client) -> None:
        if self._client is client:
            self._client = None
            self._inbox.put(Disconnected())

    def _on_connect(self, client: Client, _: Any, __: ConnectFlags, reason: ReasonCode, ___: Properties | None) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the connection (%s): check username and password_file", reason)
            self._gone.set()
            return
        log.info("connected to %s", self._order.address)
        self._heard_s = self._accepted_s = time.monotonic()
        self._subscribing.clear()
        own = [topics.desired(self._device), topics.acked(self._device), topics.HELLO]
        self._subscribe(client, own)
        self._client = client
        self.publish("presence", self._presence, qos=1)
        self._inbox.put(Connected())

    def _on_disconnect(
        self, client: Client, _: Any, __: DisconnectFlags, ___: ReasonCode, ____: Properties | None
    ) -> None:
        # Called twice for a connection that fell silent.
        if self._client in (client, None):
            self._gone.set()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        try:
            self._heard_s = time.monotonic()
            self._inbox.offer(Received(message.topic, bytes(message.payload), message.retain))
        except Exception:  # an exception would end paho's thread, and the connection would never receive again
            log.exception("a message was lost")

    def _on_subscribe(self, _: Client, __: Any, mid: int, reasons: list[ReasonCode], ___: Properties | None) -> None:
        self._heard_s = time.monotonic()
        self._inbox.put(Subscribed(self._connections, mid, tuple(not reason.is_failure for reason in reasons)))

    def _on_publish(self, _: Client, __: Any, mid: int, ___: ReasonCode, ____: Properties) -> None:
        # Also called for QoS 0, once written; only ids sent at QoS 1 are looked up.
        self._acked_mids.append(mid)
