"""The controller's connection to the broker; with `quick_client`, the only code of the controller that uses paho.

A lost connection is replaced, never repaired: the paho client is discarded with everything queued in it, so that a
message that the broker rejects is not sent again forever. Devices ask again for what is lost (`want`, snapshots). Only
retained messages are kept until they are acknowledged, the last one of each topic.

BusError               (a ControllerError)
├── UnusableAddress    a broker's address is not mqtt://HOST:PORT or mqtts://HOST:PORT
└── MessageTooLarge    a message so large that the broker would close the connection
"""

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgefleet_controller.credentials import Login
from edgefleet_controller.errors import ControllerError
from edgefleet_controller.fleet.quick_client import QuickClient
from edgefleet_process.errors import UnusableLogin
from edgefleet_process.logins import trusting
from edgefleet_protocol import topics
from edgefleet_protocol.broker_address import BrokerAddress, BrokerOrder, parse_brokers
from edgefleet_protocol.errors import NotABroker

log = logging.getLogger(__name__)

WINDOW = 20
"""How many chunks may be unacknowledged."""

MAX_IN_FLIGHT = 100  # limit for paho: leaves room for retained messages beside a full window of chunks
NO_TOPIC = "not UTF-8"
MAX_PUBLISH_BYTES = 512 * 1024  # half the embedded broker's limit, and more than any message or chunk needs
CONNECT_TIMEOUT_S = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 5.0
SILENCE_S = 30.0
_POLL_S = 0.1


class BusError(ControllerError):
    """The bus cannot connect or send."""


class UnusableAddress(BusError):  # noqa: N818 - reads as the statement it makes
    """The broker's address cannot be used."""


class MessageTooLarge(BusError):  # noqa: N818
    """The message is too large for a broker."""


@dataclass
class BusCounters:
    """Traffic on the bus since the start; sizes in bytes, without the overhead of MQTT."""

    connections: int = 0
    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    unsent: int = 0
    """Published without a connection; retained messages among these are sent later."""
    callbacks_failed: int = 0


class ControllerBus:
    """A connection to the broker, renewed until the bus is stopped.

    Callbacks run on the network thread: they must be quick, and may publish. If one raises, the exception is logged
    and counted, and the connection continues.

    Args:
        url: the broker's address, `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` for TLS; or several with commas between,
            tried in order.
        login: the controller's user at the broker; None if the broker needs none.
        ca_file: the CA certificate of `mqtts://` brokers; None for those of the system.
        client_name: the beginning of the client id; a random part follows.
        silence_s: seconds without a sign of life after which a connection is given up; after half of that, the bus
            asks for one.

    Raises:
        UnusableAddress: `url` is not such an address.
    """

    def __init__(
        self,
        url: str,
        *,
        login: Login | None = None,
        ca_file: Path | None = None,
        client_name: str = "controller",
        silence_s: float = SILENCE_S,
    ) -> None:
        try:
            self._order = BrokerOrder(parse_brokers(url))
        except NotABroker as error:
            raise UnusableAddress(str(error)) from None
        self._login, self._ca_file = login, ca_file
        self.counters = BusCounters()
        self._on_message: Callable[[str, bytes], None] = lambda *_: None
        self._on_subscribed: Callable[[], None] = lambda: None
        self._client_name = client_name
        self._silence_s = silence_s
        self._client: mqtt.Client | None = None
        self._subscription: int | None = None
        self._heard = 0.0
        self._ready_at: float | None = None
        self._ready = threading.Event()  # connected and subscribed
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()  # never held in a call of paho: it calls back with its own locks held
        self._window: deque[mqtt.MQTTMessageInfo] = deque()  # like `_window_of`, only for the thread that sends chunks
        self._window_of: mqtt.Client | None = None
        self._retained: dict[str, tuple[bytes, mqtt.MQTTMessageInfo | None]] = {}

    @property
    def connected(self) -> bool:
        """Whether the broker has confirmed our subscriptions, and the connection is up."""
        return self._ready.is_set()

    @property
    def address(self) -> BrokerAddress:
        """The broker that we are connected to, or else the one that is tried."""
        return self._order.address

    def start(self, on_message: Callable[[str, bytes], None], on_subscribed: Callable[[], None]) -> None:
        """Connect in the background, and reconnect whenever the connection is lost.

        Args:
            on_message: called with the topic and bytes of every message from devices.
            on_subscribed: called at every connect, once the broker has confirmed our subscriptions.
        """
        self._on_message, self._on_subscribed = on_message, on_subscribed
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="edgefleet-bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Disconnect; takes about a second at most, whatever the broker does."""
        self._stop.set()
        self._lost.set()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.5)
        self._thread = None

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; without a connection it is dropped and counted, or sent later if it is retained.

        Args:
            topic: the topic.
            data: at most `MAX_PUBLISH_BYTES`.
            qos: 0 or 1; retained messages are always sent with 1.
            retain: whether the broker should keep the message; the last one of a topic is sent again at every connect
                until the broker has acknowledged it.

        Raises:
            MessageTooLarge: the message is too large.
        """
        _check_size(topic, data)
        if not retain:
            self._send(topic, data, qos, retain=False)
            return
        with self._mutex:
            self._retained[topic] = (data, None)
        self._send_retained(topic, data)

    def publish_chunk(self, topic: str, data: bytes, stop: threading.Event) -> bool:
        """Send a chunk with QoS 1; waits while `WINDOW` of them are unacknowledged. For one thread only.

        Args:
            topic: the topic.
            data: at most `MAX_PUBLISH_BYTES`.
            stop: ends the wait.

        Returns:
            Whether the chunk was sent; false without a connection, or if `stop` was set.

        Raises:
            MessageTooLarge: the chunk is too large.
        """
        _check_size(topic, data)
        while self.connected and not stop.is_set():
            if self._window_of is not self._client:
                self._window.clear()
                self._window_of = self._client
            while self._window and _acknowledged(self._window[0]):
                self._window.popleft()
            if len(self._window) < WINDOW:
                info = self._send(topic, data, 1, retain=False)
                if info is not None:
                    self._window.append(info)
                return info is not None
            _await_acknowledgement(self._window[0])
        return False

    # The thread of the bus: one paho client after the other.

    def _run(self) -> None:
        while not self._stop.is_set():
            silent = False
            self._ready_at = None
            try:
                silent = self._hold_connection(self._order.address)
            except Exception:
                log.exception("the connection to the broker failed")
            # A connection that closes again at once counts as a failure; the broker may have rejected a message.
            steady = self._ready_at is not None and time.monotonic() - self._ready_at > LONGEST_RETRY_S
            self._order.ended(steady=steady, silent=silent)
            # Full jitter: clients that lost the same broker must not all reconnect at once.
            longest = min(FIRST_RETRY_S * 2 ** min(self._order.rounds, 10), LONGEST_RETRY_S)
            self._stop.wait(random.uniform(0, longest))

    def _hold_connection(self, address: BrokerAddress) -> bool:
        """Connect, and return when the connection is lost or no longer wanted: whether it was given up as silent."""
        self._lost.clear()
        try:
            client = self._new_client(address)
        except UnusableLogin as error:  # it could be read at the start
            log.warning("no connection to the broker at %s: %s", address, error)
            return False
        self._client, self._heard = client, time.monotonic()
        try:
            client.connect(address.host, address.port, keepalive=max(1, round(self._silence_s)))
            client.loop_start()
            return self._watch(client)
        except OSError as error:
            log.info("no connection to the broker at %s: %s", address, error)
            return False
        finally:
            self._ready.clear()
            self._client = None
            client.disconnect()
            client.loop_stop()

    def _watch(self, client: mqtt.Client) -> bool:
        """Return when the connection is lost or no longer wanted: whether it was given up as silent."""
        asked = False
        while not self._lost.wait(_POLL_S) and not self._stop.is_set():
            silent_s = time.monotonic() - self._heard
            if silent_s > self._silence_s:
                log.warning("nothing heard from the broker for %.1f s: reconnecting", silent_s)
                return True
            if silent_s <= self._silence_s / 2:
                asked = False
            elif not asked:
                # Every broker confirms an unsubscribe, and this one changes nothing: we never subscribed to the topic.
                client.unsubscribe(topics.acked(self._client_name))
                asked = True
        return False

    def _new_client(self, address: BrokerAddress) -> mqtt.Client:
        client = QuickClient(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._client_name}-{secrets.token_hex(8)}",
            clean_session=True,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._login:
            client.username_pw_set(self._login.username, self._login.password)
        if address.tls:
            client.tls_set_context(trusting(self._ca_file))
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.on_connect = lambda c, _, __, reason, ___: self._guarded(c, self._on_connack, reason)
        client.on_subscribe = lambda c, _, mid, codes, __: self._guarded(c, self._on_suback, mid, codes)
        client.on_message = lambda c, _, message: self._guarded(c, self._on_publish, message)
        client.on_plain = lambda topic, data: self._guarded(client, self._on_plain, topic, data)
        # No on_publish: paho would make three objects for each message sent, and every batch sends one to every
        # device. The messages, and the unsubscribe above, show that the broker is alive.
        client.on_unsubscribe = lambda c, *_: self._guarded(c, lambda: None)
        client.on_disconnect = lambda c, *_: self._disconnected(c)
        return client

    # Callbacks, on paho's thread. If one raised, the connection would go on sending but never receive.

    def _guarded(self, client: mqtt.Client, callback: Callable[..., None], *args: Any) -> None:
        if client is not self._client:
            return
        self._heard = time.monotonic()
        try:
            callback(*args)
        except Exception:
            self.counters.callbacks_failed += 1
            log.exception("a callback of the bus failed")

    def _disconnected(self, client: mqtt.Client) -> None:
        if client is self._client:
            self._ready.clear()
            self._lost.set()

    def _on_connack(self, reason: Any) -> None:
        client = self._client
        if client is None or reason.is_failure:
            log.warning("the broker refused the connection: %s", reason)
            self._lost.set()
            return
        self._subscription = client.subscribe([(topics.up_filters(kind), 0) for kind in topics.UP_KINDS])[1]

    def _on_suback(self, mid: int, codes: list[Any]) -> None:
        if mid != self._subscription:
            return
        if any(code.is_failure for code in codes):
            log.warning("the broker refused our subscriptions: %s", codes)
            self._lost.set()
            return
        self.counters.connections += 1
        self._ready_at = time.monotonic()
        log.info("connected to the broker at %s", self._order.address)
        self._ready.set()
        with self._mutex:
            waiting = [(t, data) for t, (data, info) in self._retained.items() if not _acknowledged(info)]
        for topic, data in waiting:
            self._send_retained(topic, data)
        self._on_subscribed()

    def _on_publish(self, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not every broker checks this, and none of our topics needs it
            topic = NO_TOPIC
        self._take(topic, bytes(message.payload))

    def _on_plain(self, topic: bytes, data: bytes) -> None:
        try:
            text = topic.decode()
        except UnicodeDecodeError:
            text = NO_TOPIC
        self._take(text, data)

    def _take(self, topic: str, data: bytes) -> None:
        self.counters.received += 1
        self.counters.received_bytes += len(data)
        self._on_message(topic, data)

    # Sending, on any thread.

    def _send(self, topic: str, data: bytes, qos: int, *, retain: bool) -> mqtt.MQTTMessageInfo | None:
        client = self._client
        info = client.publish(topic, data, qos, retain) if client and self.connected else None
        sent = info is not None and info.rc == mqtt.MQTT_ERR_SUCCESS
        with self._mutex:
            if sent:
                self.counters.sent += 1
                self.counters.sent_bytes += len(data)
            else:
                self.counters.unsent += 1
        return info if sent else None

    def _send_retained(self, topic: str, data: bytes) -> None:
        info = self._send(topic, data, 1, retain=True)
        with self._mutex:
            if self._retained.get(topic, (b"", None))[0] is data:
                self._retained[topic] = (data, info)
            # Messages are acknowledged in the order they are sent: forget those that have arrived.
            while self._retained:
                oldest, (_, its_info) = next(iter(self._retained.items()))
                if not _acknowledged(its_info):
                    break
                del self._retained[oldest]


def _acknowledged(info: mqtt.MQTTMessageInfo | None) -> bool:
    try:
        return info is not None and info.is_published()
    except (RuntimeError, ValueError):  # never sent
        return False


def _await_acknowledgement(info: mqtt.MQTTMessageInfo) -> None:
    try:
        info.wait_for_publish(_POLL_S / 2)
    except (RuntimeError, ValueError):
        time.sleep(_POLL_S / 2)


def _check_size(topic: str, data: bytes) -> None:
    if len(data) > MAX_PUBLISH_BYTES:
        raise MessageTooLarge(f"a message of {len(data)} bytes on {topic} is too large: at most {MAX_PUBLISH_BYTES}")
