"""Beyond loopback everybody says who they are; what devices may say is held by the broker."""

import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.plain import PlainClient
from tests.service import api_of, running_service

from edgefleet_controller.credentials import (
    Credentials,
    CredentialsError,
    Login,
    load_credentials,
    make_credentials,
)
from edgefleet_controller.errors import Invalid
from edgefleet_controller.fleet.broker import EmbeddedBroker
from edgefleet_controller.fleet.bus import ControllerBus, UnusableAddress
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings, parse_listen
from edgefleet_operator.errors import ApiError
from edgefleet_protocol import topics

WAIT_S = 30


@pytest.mark.parametrize(
    ("text", "port", "read"),
    [
        ("127.0.0.1", 7, ("127.0.0.1", 7)),
        ("localhost:80", 0, ("127.0.0.1", 80)),
        ("0.0.0.0:8080", 8080, ("0.0.0.0", 8080)),
        ("::1", 7, ("::1", 7)),
        ("[::1]", 7, ("::1", 7)),
        ("[::]:8080", 0, ("::", 8080)),
    ],
)
def test_where_to_listen_is_an_address_and_perhaps_a_port(text: str, port: int, read: tuple[str, int]) -> None:
    assert parse_listen(text, port) == read


def test_two_ports_are_refused() -> None:
    with pytest.raises(Invalid, match="another port than --port 7"):
        parse_listen("127.0.0.1:80", 7)


@pytest.mark.parametrize("text", ["", "fleet.example", "10.0.0.5:http", "10.0.0.5:99999", "10.0.0:1"])
def test_what_is_no_address_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(Invalid, match=r"ADDRESS|not a port"):
        parse_listen(text)


def test_of_the_token_only_a_hash_is_kept_and_nobody_else_reads_the_file(tmp_path: Path) -> None:
    made, token = make_credentials(tmp_path)
    file = tmp_path / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert load_credentials(tmp_path) == made
    assert made.admits(token)
    assert not made.admits(token + "x")
    assert made.device_password not in repr(made.device)


def test_beyond_loopback_nothing_starts_without_credentials(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="--make-credentials"):
        Service(ControllerSettings(state=tmp_path, host="0.0.0.0"))
    assert not (tmp_path / "broker").exists()


def test_a_broker_of_ones_own_needs_a_password_beyond_loopback(tmp_path: Path) -> None:
    make_credentials(tmp_path)
    with pytest.raises(CredentialsError, match="--broker-password-file"):
        Service(ControllerSettings(state=tmp_path, host="0.0.0.0", broker_url="mqtt://127.0.0.1:1"))


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefleet_operator", "serve", "--state", str(tmp_path), "--listen", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert re.fullmatch(r"edgefleet: .*--make-credentials.*\n", refused.stderr)


def test_a_password_has_no_place_in_an_address() -> None:
    with pytest.raises(UnusableAddress, match="settings of their own"):
        ControllerBus("mqtt://user:secret@host")


OWN = {"broker_url": "mqtts://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (OWN | {"broker_username": "c"}, "give --broker-password-file"),
        (OWN | {"broker_password_file": Path(__file__)}, "give --broker-user"),
        (
            OWN | {"broker_username": "c", "broker_password_file": Path("/nowhere")},
            "--broker-password-file: .*/nowhere",
        ),
        (OWN | {"broker_ca_file": Path("/nowhere/ca.pem")}, "--broker-ca-file: .*/nowhere/ca.pem"),
        (OWN | {"broker_ca_file": Path(__file__)}, "holds no certificate"),
        ({"broker_url": "mqtt://a,http://b"}, "--broker: 'http://b' is not a broker's address"),
        ({"broker_url": "mqtt://a,mqtt://a:1883"}, "--broker: the broker mqtt://a:1883 is named twice"),
        (OWN | {"broker_port": 1883}, "--broker-port is for the embedded broker"),
        (
            {"broker_username": "c", "broker_ca_file": Path("ca.pem")},
            "--broker-user, --broker-ca-file would not be used",
        ),
    ],
)
def test_every_setting_of_ones_own_broker_is_obeyed_or_refused(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(CredentialsError, match=says):
        Service(ControllerSettings(state=tmp_path, **given))
    assert not (tmp_path / "broker").exists()


@pytest.fixture
def token(tmp_path: Path) -> str:
    return make_credentials(tmp_path)[1]


@pytest.fixture
def service(tmp_path: Path, token: str) -> Iterator[Service]:
    with running_service(tmp_path, host="0.0.0.0") as running:
        yield running


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with api_of(service) as address:
        yield address


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/health", "/metrics", "/nowhere"])
def test_without_the_token_every_question_is_a_problem_401(url: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{url}{path}", headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "EDGEFLEET_TOKEN" in answer.json()["detail"]


def test_the_page_that_explains_the_api_is_open_and_asks_for_the_token(url: str) -> None:
    assert httpx.get(f"{url}/docs", timeout=60).status_code == 200
    assert "HTTPBearer" in httpx.get(f"{url}/openapi.json", timeout=60).json()["components"]["securitySchemes"]


def test_with_the_token_the_controller_answers_and_hears_its_own_broker(url: str, token: str) -> None:
    client = PlainClient(url, token)
    client.wait_until_up(WAIT_S)
    added = client.post("/devices", {"profile": "eu/rpi4/lte"})
    assert "--username device --password-file" in added["command"]
    assert "0.0.0.0" not in added["command"]
    client.delete(f"/devices/{added['id']}")
    assert list(client.items("/expected-devices")) == []
    client.close()
    stranger = PlainClient(url)
    with pytest.raises(ApiError, match="token"):
        stranger.get("/devices")
    stranger.close()


class Listener:
    """An MQTT client that keeps what is delivered; permissions show in deliveries, never in a SUBACK."""

    def __init__(self, broker: EmbeddedBroker, login: Login | None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.refused: str | None = None
        self._up = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311, reconnect_on_failure=False)
        if login:
            self._client.username_pw_set(login.username, login.password)
        self._client.on_message = lambda _, __, m: self.heard.append((m.topic, m.payload))
        self._client.on_connect = self._connected
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self._up.wait(WAIT_S)

    def _connected(self, _: object, __: object, ___: object, reason: object, ____: object) -> None:
        self.refused = str(reason) if getattr(reason, "is_failure", False) else None
        self._up.set()

    def subscribe(self, *names: str) -> None:
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe([(name, 0) for name in names])
        assert done.wait(WAIT_S)

    def publish(self, topic: str, data: bytes, retain: bool = False) -> None:
        self._client.publish(topic, data, 1, retain).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return make_credentials(tmp_path)[0]


@pytest.fixture
def broker(tmp_path: Path, credentials: Credentials) -> Iterator[EmbeddedBroker]:
    opened = EmbeddedBroker.open(tmp_path, credentials=credentials)
    yield opened
    opened.stop()


@pytest.fixture
def connect(broker: EmbeddedBroker) -> Iterator[Callable[[Login | None], Listener]]:
    made: list[Listener] = []

    def make(login: Login | None) -> Listener:
        made.append(Listener(broker, login))
        return made[-1]

    yield make
    for client in made:
        client.close()


def settle(condition: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.broker
def test_a_stranger_is_not_let_in(connect, credentials: Credentials) -> None:
    assert connect(None).refused
    assert connect(Login("device", "wrong")).refused
    assert connect(credentials.device).refused is None


@pytest.mark.broker
def test_a_device_hears_the_controller_and_cannot_speak_as_it(connect, credentials: Credentials) -> None:
    controller, device = connect(credentials.controller), connect(credentials.device)
    other = connect(credentials.device)
    other.subscribe(topics.desired("d"), topics.HELLO, topics.blob("a" * 64, "lte"))
    device.publish(topics.desired("d"), b"forged", retain=True)
    device.publish(topics.blob("a" * 64, "lte"), b"forged")
    device.publish(topics.HELLO, b"forged")
    controller.publish(topics.desired("d"), b"desired", retain=True)
    controller.publish(topics.blob("a" * 64, "lte"), b"chunk")
    settle(lambda: len(other.heard) >= 2)
    assert other.heard == [(topics.desired("d"), b"desired"), (topics.blob("a" * 64, "lte"), b"chunk")]


@pytest.mark.broker
def test_a_device_does_not_hear_what_other_devices_say(connect, credentials: Credentials) -> None:
    controller, device = connect(credentials.controller), connect(credentials.device)
    controller.subscribe(topics.up_filters("reported"))
    device.subscribe("edgefleet/v1/up/#", "#", topics.up("d", "reported"))
    device.publish(topics.up("d", "reported"), b"a snapshot")
    settle(lambda: controller.heard)
    time.sleep(0.2)
    assert device.heard == []


@pytest.mark.broker
def test_what_was_retained_for_a_device_is_gone_once_it_is_cleared(connect, credentials: Credentials) -> None:
    controller, device = connect(credentials.controller), connect(credentials.device)
    controller.publish(topics.desired("d"), b"desired", retain=True)
    controller.publish(topics.desired("d"), b"", retain=True)
    controller.publish(topics.desired("e"), b"of another", retain=True)

    # A broker whose disk is busy may answer a subscription without what it retains, so ask again, as a device
    # does at its next connect.
    def asked_again() -> bool:
        device.subscribe(topics.desired("d"), topics.desired("e"))
        time.sleep(0.2)
        return bool(device.heard)

    settle(asked_again)
    assert set(device.heard) == {(topics.desired("e"), b"of another")}


@pytest.mark.broker
def test_a_running_broker_without_users_is_started_again_once_there_are_some(tmp_path: Path) -> None:
    state = tmp_path / "older"
    first = EmbeddedBroker.open(state)
    credentials, _ = make_credentials(state)
    second = EmbeddedBroker.open(state, credentials=credentials)
    try:
        assert (second.adopted, second.port) == (False, first.port)
        config = state / "broker" / "nats.conf"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert re.search(r"user: \"device\"", config.read_text())
        stranger = Listener(second, None)
        assert stranger.refused
        stranger.close()
        assert EmbeddedBroker.open(state, credentials=credentials).adopted
    finally:
        second.stop()
