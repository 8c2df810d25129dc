"""What deploy/ ships works: the Mosquitto configuration runs and holds its rules, systemd reads the units."""

import gc
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.conftest import HOST, free_port, program

from edgefleet_agent.bus import try_broker
from edgefleet_agent.errors import SettingsError
from edgefleet_agent.facts import describe
from edgefleet_agent.settings import BrokerSettings, load_settings
from edgefleet_controller.credentials import Login
from edgefleet_controller.fleet.bus import ControllerBus
from edgefleet_protocol import topics
from edgefleet_protocol.broker_address import BrokerAddress

DEPLOY = Path(__file__).parents[1] / "deploy"
WAIT_S = 30


class Shipped:
    """Mosquitto with our configuration; only paths and the port are this test's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.ca = folder / "ca.pem"
        self._certificates()
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        for user in ("controller", "one", "two"):
            add = [program("mosquitto_passwd", "apt install mosquitto"), "-b", str(passwords), user, f"of-{user}"]
            subprocess.run(add, check=True, capture_output=True)
            (folder / f"{user}.password").write_text(f"of-{user}\n")
        shutil.copy(DEPLOY / "mosquitto" / "acl", folder / "acl")
        (folder / "acl").chmod(0o600)
        config = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        for written, here in {
            "/etc/mosquitto/edgefleet": str(folder),
            "/var/lib/mosquitto": str(folder),
            "listener 8883": f"listener {self.port} {HOST}",
        }.items():
            assert written in config
            config = config.replace(written, here)
        user = "user root\n" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(config + user)
        with (folder / "log").open("ab") as log:
            command = [program("mosquitto", "apt install mosquitto"), "-c", str(folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._await()

    def _certificates(self) -> None:
        openssl = program("openssl", "apt install openssl")
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "1", "-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName=IP:{HOST}"),
                *("-keyout", str(self.folder / "server.key"), "-out", str(self.ca)),
            ],
            check=True,
            capture_output=True,
        )
        shutil.copy(self.ca, self.folder / "server.pem")

    def _await(self) -> None:
        until = time.monotonic() + WAIT_S
        while True:
            try:
                return try_broker(self.settings("one"), self.address, "probe")
            except SettingsError as error:
                log = (self.folder / "log").read_text()
                assert self._process.poll() is None and time.monotonic() < until, f"{error}\n{log}"
                time.sleep(0.05)

    def settings(self, user: str, password_of: str | None = None) -> BrokerSettings:
        file = self.folder / f"{password_of or user}.password"
        return BrokerSettings(addresses=(self.address,), ca_file=self.ca, username=user, password_file=file)

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress(HOST, self.port, tls=True)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    running = Shipped(tmp_path_factory.mktemp("mosquitto"))
    yield running
    running.stop()


class Listener:
    """A client of one user that keeps what is delivered."""

    def __init__(self, shipped: Shipped, user: str, client_id: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.lost = threading.Event()
        up = threading.Event()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self.client.tls_set(str(shipped.ca))
        self.client.username_pw_set(user, f"of-{user}")
        self.client.on_connect = lambda *_: up.set()
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.on_message = lambda _, __, m: self.heard.append((m.topic, m.payload))
        self.client.connect(HOST, shipped.port)
        self.client.loop_start()
        assert up.wait(WAIT_S)

    def subscribe(self, *names: str) -> None:
        done = threading.Event()
        self.client.on_subscribe = lambda *_: done.set()
        self.client.subscribe([(name, 0) for name in names])
        assert done.wait(WAIT_S)

    def publish(self, topic: str, data: bytes) -> None:
        self.client.publish(topic, data, 1).wait_for_publish(WAIT_S)


@pytest.fixture
def connect(shipped: Shipped) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(user: str, client_id: str = "") -> Listener:
        made.append(Listener(shipped, user, client_id or f"{user}-1"))
        return made[-1]

    yield make
    for listener in made:
        listener.client.disconnect()
        listener.client.loop_stop()


def settle(condition: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.broker
def test_the_controllers_own_bus_connects_and_hears_devices(shipped: Shipped, connect) -> None:
    heard: list[str] = []
    bus = ControllerBus(
        f"mqtts://{HOST}:{shipped.port}",
        login=Login("controller", "of-controller"),
        ca_file=shipped.ca,
    )
    bus.start(on_message=lambda topic, _: heard.append(topic), on_subscribed=lambda: None)
    try:
        settle(lambda: bus.connected)
        one = connect("one")
        one.subscribe(topics.desired("one"), topics.desired("two"), topics.HELLO, topics.blob("a" * 64, "lte"))
        one.publish(topics.up("two", "reported"), b"as another")
        one.publish(topics.up("one", "reported"), b"as itself")
        settle(lambda: heard)
        for topic in (topics.desired("two"), topics.desired("one"), topics.HELLO, topics.blob("a" * 64, "lte")):
            bus.publish(topic, b"x", qos=1)
        settle(lambda: len(one.heard) == 3)
        assert heard == [topics.up("one", "reported")]
        assert topics.desired("two") not in [topic for topic, _ in one.heard]
    finally:
        bus.stop()


@pytest.mark.broker
def test_a_device_cannot_speak_as_the_controller_or_hear_other_devices(connect) -> None:
    one, two = connect("one"), connect("two")
    two.subscribe("edgefleet/v1/#", topics.desired("two"), topics.up("one", "reported"))
    one.publish(topics.desired("two"), b"forged")
    one.publish(topics.HELLO, b"forged")
    one.publish(topics.blob("a" * 64, "lte"), b"forged")
    one.publish(topics.up("one", "reported"), b"private")
    time.sleep(0.3)
    assert two.heard == []


@pytest.mark.broker
def test_a_device_cannot_throw_another_one_out_by_its_client_id(connect) -> None:
    two = connect("two", "two-1")
    connect("one", "two-1")
    assert not two.lost.wait(0.3)
    connect("two", "another-id")
    assert two.lost.wait(WAIT_S), "one user is one client: the newer connection replaces the older"


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.broker
def test_a_wrong_password_or_an_unknown_authority_is_told(shipped: Shipped) -> None:
    with pytest.raises(SettingsError, match="--password-file"):
        try_broker(shipped.settings("one", password_of="two"), shipped.address, "one")
    with pytest.raises(SettingsError, match="--ca-file"):
        try_broker(shipped.settings("one").model_copy(update={"ca_file": None}), shipped.address, "one")
    gc.collect()


def test_the_queues_are_limited_and_larger_than_the_default() -> None:
    lines = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert int(settings["max_queued_messages"]) > 1000
    assert int(settings["autosave_interval"]) <= 60
    assert settings["use_username_as_clientid"] == "true"
    assert settings["allow_anonymous"] == "false"


def test_the_agents_example_settings_are_read(tmp_path: Path) -> None:
    settings = load_settings({"config": str(DEPLOY / "agent.toml"), "state": str(tmp_path)}, {})
    assert all(address.tls for address in settings.broker_settings.addresses)
    assert settings.hardware == "rpi4"
    stood_in_for = settings.model_copy(update={"hardware": None, "simulate_hardware": settings.hardware})
    assert describe(stood_in_for).facts.hardware == "rpi4"


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_reads_the_units_without_a_word(unit: Path, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "apt install systemd")
    # The program that a unit starts is looked for: this test has it elsewhere.
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/edgefleet/bin/", f"{Path(shutil.which('true') or '').parent}/"))
    text = here.read_text()
    for name in ("edgefleet-agent", "edgefleet"):
        text = text.replace(f"bin/{name} ", "bin/true ")
    here.write_text(text)
    told = subprocess.run([analyze, "verify", "--man=no", str(here)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
