"""Controller and broker, reached over links; agents at the far ends; and one client that watches what is said."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import brokers
from benchmarks.links.light_mqtt import WireBroker
from benchmarks.links.namespaces import CLOUD, DeviceLink
from benchmarks.links.sized import SizedModel
from benchmarks.processes import Child, Controller
from edgefleet_contract.rollouts import Gate, RolloutSpec, Timers
from edgefleet_controller.credentials import Credentials, Login, make_credentials
from edgefleet_operator.client import Client
from edgefleet_protocol import topics
from edgefleet_protocol.messages import Attempt, DesiredState, ReportedState, decode

REGION, HARDWARE = "eu", "rpi4"
AS_SERVED = ("--tick", "1", "--hello-jitter", "2")
LINK = """title = "a line of {kbps:g} kbit/s"
down_kbps = {kbps:g}
rtt_ms = {rtt_ms:g}
loss = {loss:g}
usd_per_mb = 0.0
joule_per_mb = 0.03
metered = false

[sources]
down_kbps = "estimate: made for this benchmark"
rtt_ms = "estimate: made for this benchmark"
loss = "estimate: made for this benchmark"
usd_per_mb = "estimate: made for this benchmark"
joule_per_mb = "estimate: made for this benchmark"
"""


@dataclass(frozen=True)
class Channel:
    """What the catalogue says of a device's link, whatever the link is."""

    name: str
    kbps: float
    rtt_ms: float = 60.0
    loss: float = 0.0

    @property
    def profile(self) -> str:
        """The profile of devices on it."""
        return f"{REGION}/{HARDWARE}/{self.name}"

    def write(self, catalogue: Path) -> None:
        """The operator's entry of the catalogue."""
        (catalogue / "link").mkdir(parents=True, exist_ok=True)
        text = LINK.format(kbps=self.kbps, rtt_ms=self.rtt_ms, loss=self.loss)
        (catalogue / "link" / f"{self.name}.toml").write_text(text)


@dataclass(frozen=True)
class DesiredOrder:
    """What a device was told of one model, and when the broker got it."""

    at_s: float
    device: str
    model: str
    generation: int
    activate: bool


class Watcher:
    """Hears every `desired` and every report right at the broker."""

    def __init__(self, broker_url: str, logins: tuple[Login | None, Login | None]) -> None:
        self._orders: list[DesiredOrder] = []
        self._latest: dict[tuple[str, str], tuple[int, bool]] = {}
        self._attempts: dict[tuple[str, str, int, str], tuple[float, Attempt]] = {}
        self._changed = threading.Condition()
        address = urlsplit(broker_url)
        self._clients = []
        # Devices may not hear one another, nor the controller itself: each side's user hears the other's words.
        for login, topic in zip(logins, (topics.up_filters("reported"), topics.desired("+")), strict=True):
            client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
            if login:
                client.username_pw_set(login.username, login.password)
            client.on_message = self._hear
            client.connect(address.hostname or "", address.port or 1883, keepalive=60)
            client.subscribe(topic, 0)
            client.loop_start()
            self._clients.append(client)

    def close(self) -> None:
        """Leave."""
        for client in self._clients:
            client.disconnect()
            client.loop_stop()

    def reached(self, device: str, model: str, phases: tuple[str, ...], generation: int = 0) -> float | None:
        """When a device's first report of one of these phases came, for this generation or a later one."""
        with self._changed:
            times = [
                at_s
                for (who, what, number, phase), (at_s, _) in self._attempts.items()
                if (who, what) == (device, model) and phase in phases and number >= generation
            ]
        return min(times, default=None)

    def last_attempt(self, device: str, model: str) -> Attempt | None:
        """The newest attempt that a device told."""
        with self._changed:
            told = [kept for (who, what, *_), kept in self._attempts.items() if (who, what) == (device, model)]
        return max(told, key=lambda kept: kept[0])[1] if told else None

    def first_order(self, device: str, model: str, after_s: float) -> DesiredOrder | None:
        """The first that a device was told of a model after a moment, unlike what it had been told before."""
        with self._changed:
            told = (one for one in self._orders if (one.device, one.model) == (device, model))
            return next((one for one in told if one.at_s > after_s), None)

    def _hear(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now_s, device, payload = time.monotonic(), message.topic.split("/")[-2], bytes(message.payload)
        if not payload:
            return
        with self._changed:
            if message.topic.endswith("/desired"):
                self._note(decode(DesiredState, payload), device, now_s)
                return
            for name, model in decode(ReportedState, payload).models.items():
                if model.attempt:
                    key = (device, name, model.attempt.generation, model.attempt.phase)
                    self._attempts.setdefault(key, (now_s, model.attempt))

    def _note(self, desired: DesiredState, device: str, now_s: float) -> None:
        for name, asked in desired.models.items():
            what = (asked.generation, asked.activate)
            if self._latest.get((device, name)) != what:  # it is said again whenever a device seems not to know it
                self._latest[device, name] = what
                self._orders.append(DesiredOrder(now_s, device, name, *what))


class LinkedAgent(Child):
    """An agent at the far end of a link, with the times that it has by itself."""

    def __init__(self, cloud: "Cloud", device: str, channel: Channel, link: DeviceLink) -> None:
        self.id, folder = device, cloud.folder
        login: tuple[str, ...] = ()
        if cloud.device_login:
            password = folder / "device-password"
            password.write_text(cloud.device_login.password)
            login = ("--username", cloud.device_login.username, "--password-file", str(password))
        super().__init__(
            folder / f"{device}.log",
            *("edgefleet_agent", "run", "--state", str(folder / device), "--device", device),
            *("--broker", cloud.broker_url, *login, "--catalogue", str(cloud.catalogue)),
            *("--region", REGION, "--link", channel.name, "--simulate-hardware", HARDWARE, "--http", "127.0.0.1:0"),
        )
        self._command = [*link.prefix, *self._command]


@dataclass
class Cloud:
    """The controller, its broker, and the operator's side."""

    folder: Path
    catalogue: Path
    controller: Controller
    token: str | None
    broker_url: str
    device_login: Login | None
    watcher: Watcher

    @property
    def api(self) -> Client:
        """The operator's client; for one thread."""
        return self.controller.api

    @property
    def broker_port(self) -> int:
        """The broker's port."""
        return urlsplit(self.broker_url).port or 0

    def sent_bytes(self) -> int:
        """Bytes of chunks that the controller has sent, by its own `/metrics`."""
        with Client(self.api.url, self.token) as client:
            families = text_string_to_metric_families(client.metrics())
        samples = (sample for family in families for sample in family.samples)
        return int(sum(one.value for one in samples if one.name == "edgefleet_delivered_bytes_total"))

    @property
    def wire_broker(self) -> WireBroker:
        """The broker, for devices on the wire that no link is made for."""
        login = self.device_login
        return WireBroker(CLOUD, self.broker_port, *((login.username, login.password) if login else ()))

    def count_devices(self) -> int:
        """How many devices have joined."""
        return sum(1 for _ in self.api.devices.all())

    def knows(self, device: str) -> bool:
        """Whether a device has joined."""
        return any(one.id == device for one in self.api.devices.all())

    def delivery_bytes(self, model: SizedModel) -> int:
        """Everything that a device downloads of a model's only variant; for any thread."""
        with Client(self.api.url, self.token) as client:
            return next(iter(client.variants.all(model.ref))).delivery_bytes

    def build(self, model: SizedModel, channel: Channel) -> None:
        """Register and build a model for the devices of a channel."""
        self.controller.build(model.write(self.folder / f"{model.name}-{model.version}"), channel.profile, "fp32")

    def start(self, model: SizedModel, *, selector: str = "", concurrency: int = 10) -> str:
        """Start a rollout in one wave; its id."""
        spec = RolloutSpec(
            model=model.name,
            version=model.version,
            selector=selector,
            everyone=not selector,
            waves=(1.0,),
            gate=Gate(soak_s=0.2, failure_threshold=0.0, success_threshold=1.0, watch_h=0),
            timers=Timers(trial_s=0.5),
            concurrency=concurrency,
        )
        return self.api.rollouts.start(spec).id


@contextmanager
def cloud(broker: str, channels: list[Channel], folder: Path) -> Iterator[Cloud]:
    """A controller with its embedded nats, or with a Mosquitto of ours, on an address that links lead to."""
    with ExitStack() as stack:
        catalogue, state = folder / "catalogue", folder / "controller"
        for channel in channels:
            channel.write(catalogue)
        made: Credentials | None = None
        token: str | None = None
        if broker == "nats":
            state.mkdir(parents=True)
            made, token = make_credentials(state)
            options = ("--listen", CLOUD)
        else:
            own = stack.enter_context(brokers.running(broker, folder / "broker", CLOUD))
            options = ("--broker", own.url)
        controller = Controller(folder, *options, "--profiles", str(catalogue), *AS_SERVED, token=token)
        controller.start()
        stack.callback(controller.stop)
        logins = (made.controller, made.device) if made else (None, None)
        watcher = Watcher(controller.broker_url, logins)
        stack.callback(watcher.close)
        yield Cloud(folder, catalogue, controller, token, controller.broker_url, logins[1], watcher)
