"""The embedded broker: one per state folder, on the same port for ever, found again by its lock."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefleet_controller.errors import ControllerError
from edgefleet_controller.fleet.broker import BrokerError, BrokerNotReady, BrokerPortTaken, EmbeddedBroker

pytestmark = pytest.mark.broker

CONTROLLER = """
import sys, time
from pathlib import Path
from edgefleet_controller.fleet.broker import EmbeddedBroker
broker = EmbeddedBroker.open(Path(sys.argv[1]))
print(broker.pid, broker.port, flush=True)
time.sleep(600)
"""
CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], EmbeddedBroker]]:
    """Opens the broker of the test's state folder; it is ended with the test."""
    brokers: list[EmbeddedBroker] = []

    def open_broker() -> EmbeddedBroker:
        brokers.append(EmbeddedBroker.open(tmp_path))
        return brokers[-1]

    yield open_broker
    for broker in brokers[-1:]:
        broker.stop()


def serves_mqtt(broker: EmbeddedBroker) -> bool:
    with socket.create_connection((broker.host, broker.port), timeout=30) as connection:
        connection.sendall(CONNECT)
        return connection.recv(4) == b"\x20\x02\x00\x00"


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_starts_on_loopback_and_serves_mqtt(opened: Callable[[], EmbeddedBroker]) -> None:
    broker = opened()
    assert broker.host == "127.0.0.1"
    assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
    assert not broker.adopted
    assert serves_mqtt(broker)


def test_a_second_open_adopts_the_running_broker(opened: Callable[[], EmbeddedBroker]) -> None:
    first = opened()
    second = opened()
    assert second.adopted
    assert (second.pid, second.port) == (first.pid, first.port)
    second.stop()
    assert not lives(first.pid)


def test_opens_at_the_same_time_end_up_with_one_broker(opened: Callable[[], EmbeddedBroker]) -> None:
    found: list[EmbeddedBroker] = []
    threads = [threading.Thread(target=lambda: found.append(opened())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({(broker.pid, broker.port) for broker in found}) == 1
    assert sorted(broker.adopted for broker in found) == [False, True, True, True]


def test_two_state_folders_have_two_brokers(opened: Callable[[], EmbeddedBroker], tmp_path: Path) -> None:
    one = opened()
    other = EmbeddedBroker.open(tmp_path / "other")
    try:
        assert other.port != one.port
        assert other.pid != one.pid
        assert serves_mqtt(other)
    finally:
        other.stop()
    assert serves_mqtt(one)


def test_it_outlives_a_killed_controller_and_is_adopted_by_the_next(
    opened: Callable[[], EmbeddedBroker], tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", CONTROLLER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as old:
        assert old.stdout
        pid, port = map(int, old.stdout.readline().split())
        old.kill()
    assert old.returncode == -signal.SIGKILL
    broker = opened()
    assert broker.adopted
    assert (broker.pid, broker.port) == (pid, port)
    assert serves_mqtt(broker)
    assert broker.ensure_running() is False
    broker.stop()
    wait_until(lambda: not lives(pid))


def test_a_broker_that_died_is_started_again_on_the_same_port(opened: Callable[[], EmbeddedBroker]) -> None:
    broker = opened()
    pid, port = broker.pid, broker.port
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: broker.ensure_running())
    assert broker.pid != pid
    assert broker.port == port
    assert serves_mqtt(broker)


def test_a_stopped_broker_comes_back_on_the_same_port(opened: Callable[[], EmbeddedBroker]) -> None:
    first = opened()
    first.stop()
    first.stop()  # a second time is no error
    again = opened()
    assert not again.adopted
    assert again.port == first.port


def test_it_is_started_from_any_thread_and_outlives_that_thread(opened: Callable[[], EmbeddedBroker]) -> None:
    found: list[EmbeddedBroker] = []
    thread = threading.Thread(target=lambda: found.append(opened()))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert serves_mqtt(found[0])


def test_a_suspended_broker_is_still_ended(opened: Callable[[], EmbeddedBroker]) -> None:
    broker = opened()
    pid = broker.pid
    os.kill(pid, signal.SIGSTOP)
    broker.stop(timeout_s=2)
    wait_until(lambda: not lives(pid))


def test_a_port_that_somebody_else_took_is_an_error_that_says_what_to_do(
    opened: Callable[[], EmbeddedBroker],
) -> None:
    broker = opened()
    broker.stop()
    with socket.create_server((broker.host, broker.port)), pytest.raises(BrokerPortTaken) as refused:
        broker.ensure_running()
    assert str(broker.port) in str(refused.value)
    assert "port.json" in str(refused.value)
    assert isinstance(refused.value, ControllerError)
    assert broker.ensure_running()


def test_a_broker_that_cannot_start_says_why(opened: Callable[[], EmbeddedBroker], tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "jetstream").write_text("no folder")
    with pytest.raises(BrokerNotReady, match="storage directory is not a directory"):
        opened()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"mqtt": "x"}'])
def test_a_damaged_port_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "port.json").write_text(content)
    with pytest.raises(BrokerError, match=r"port\.json"):
        EmbeddedBroker.open(tmp_path)


def test_the_port_lies_outside_the_ones_given_to_clients(opened: Callable[[], EmbeddedBroker], tmp_path: Path) -> None:
    broker = opened()
    assert 20_000 <= broker.port < 32_000
    assert json.loads((tmp_path / "broker" / "port.json").read_text()) == {"mqtt": broker.port}
