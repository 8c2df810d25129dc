"""Network namespaces that end with the benchmark: nothing of this machine's own network is touched.

The benchmark itself goes on in a namespace of its own, with a process namespace around it: when its first process
ends, however it ends, the kernel ends every other and takes the devices away.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from benchmarks.links.relay import TUN, LinkPlan, LinkProcess, be_a_link
from benchmarks.links.shape import LinkShape
from edgefleet_process.children import spawned

CLOUD = "10.77.255.1"
"""Where the controller and its broker are reached, from every link."""
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}
HOW = "links are made of network namespaces and TUN devices, which needs Linux, and root or user namespaces"


def own_namespaces() -> list[str]:
    """The start of a command that runs in namespaces of its own."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def why_not(tun: Path = Path(TUN)) -> str | None:
    """What is missing to make links here; None if nothing is; `tun` is where the kernel offers TUN devices."""
    if sys.platform != "linux":
        return f"this is {sys.platform}: {HOW}"
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        return "; ".join(f"'{name}' is not installed: install {TOOLS[name]}" for name in missing)
    if not tun.exists():
        return f"{tun} is missing: load the kernel's module tun"
    if not os.access(tun, os.R_OK | os.W_OK):
        return f"{tun} may not be opened: run as root"
    tried = subprocess.run([*own_namespaces(), "ip", "tuntap", "add", "try", "mode", "tun"], capture_output=True)
    said = tried.stderr.decode(errors="replace").strip()
    return f"namespaces are not permitted ({said}): run as root" if tried.returncode else None


def enter_cloud() -> None:
    """Set up the namespace that this process is in: loopback, and the address of controller and broker."""
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{CLOUD}/32", "dev", "lo")


@dataclass(frozen=True)
class DeviceLink:
    """A link, and the namespace at its far end; `prefix` begins a command that runs there."""

    shape: LinkShape
    relay: LinkProcess
    prefix: tuple[str, ...]


@contextmanager
def link_to_device(number: int, shape: LinkShape, broker_port: int, seed: int = 1) -> Iterator[DeviceLink]:
    """A link from the cloud to a namespace of its own.

    Args:
        number: tells links apart, from 0 to 254.
        shape: rate, delay, and loss.
        broker_port: the broker's, whose connections are watched.
        seed: of the losses.
    """
    near, far = f"near{number}", f"far{number}"
    ours, theirs = Pipe()
    process = spawned(be_a_link, LinkPlan(near, far, shape, seed, broker_port), theirs)
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    relay = LinkProcess(ours)
    try:
        ours.recv()
        prefix = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        _await_own_net(holder.pid)
        _ip("link", "set", far, "netns", str(holder.pid))
        _ip("address", "add", f"10.77.{number}.1", "peer", f"10.77.{number}.2", "dev", near)
        _ip("link", "set", near, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"10.77.{number}.2", "peer", f"10.77.{number}.1", "dev", far),
            ("link", "set", far, "up"),
            ("route", "add", "default", "dev", far),
        ):
            _ip(*words, prefix=prefix)
        yield DeviceLink(shape, relay, prefix)
    finally:
        relay.end()
        process.join(5)
        if process.is_alive():
            process.kill()
        holder.kill()
        holder.wait()


def _await_own_net(pid: int) -> None:
    """`unshare` takes a moment before the namespace is another one than ours."""
    ours = Path("/proc/self/ns/net").readlink()
    for _ in range(1000):
        if Path(f"/proc/{pid}/ns/net").readlink() != ours:
            return
        time.sleep(0.01)
    raise RuntimeError("no network namespace came about")


def _ip(*words: str, prefix: tuple[str, ...] = ()) -> None:
    done = subprocess.run([*prefix, "ip", *words], capture_output=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
