"""Many devices on the wire in one process, and that process as a scenario sees it."""

import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.links.cloud import Channel, Cloud
from benchmarks.links.light_mqtt import WireBroker
from benchmarks.links.wire_device import Score, WireDevice
from edgefleet_process.children import spawned
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import Link

LOOK_S = 0.05
AT_ONCE = 8
FILES_A_DEVICE = 4
READY_S = 120.0


def be_a_fleet(
    names: tuple[str, ...], profile: str, link: Link, broker: WireBroker, folder: Path, orders: Connection
) -> None:
    """The process: its devices do what they are told; any order is answered with everyone's score, None ends it."""
    _allow_files(FILES_A_DEVICE * len(names) + 256)
    devices = [WireDevice(name, profile, link, broker, folder / name) for name in names]
    loop = _Loop(devices, orders)
    orders.send("ready")
    while loop.step():
        pass


class _Loop:
    """Serves all devices of a process.

    A device on its own notes when a message comes, whatever it is at. Here hundreds share one processor, so the network
    is looked at again after every few of them: else a device would take its neighbours' work for a slow link.
    """

    def __init__(self, devices: list[WireDevice], orders: Connection) -> None:
        self._devices, self._orders = devices, orders
        self._due_s = dict.fromkeys(devices, 0.0)
        self._watched = selectors.DefaultSelector()
        self._watched.register(orders, selectors.EVENT_READ)
        self._sockets: dict[WireDevice, socket.socket] = {}
        self._ended = False

    def step(self) -> bool:
        """Wait for what comes or is due, and serve everyone once; False once the orders end."""
        self._receive(min(LOOK_S, max(0.0, min(self._due_s.values()) - time.monotonic())))
        for number, device in enumerate(self._devices):
            self._serve(device)
            if number % AT_ONCE == 0:
                self._receive(0.0)
        return not self._ended

    def _serve(self, device: WireDevice) -> None:
        if device.connection and device.connection.has_received:
            self._guarded(device, device.read)
            self._due_s[device] = 0.0
        if self._due_s[device] <= time.monotonic():
            self._guarded(device, device.tick)
        if device.connection and device.connection.has_more:
            self._guarded(device, device.connection.flush)
        self._watch(device)

    def _receive(self, wait_s: float) -> None:
        """Take from the network what has come."""
        for key, _ in self._watched.select(wait_s):
            if key.data is not None:
                self._guarded(key.data, key.data.connection.receive)
            elif self._orders.recv() is None:
                self._ended = True
            else:
                self._orders.send([device.score for device in self._devices])

    def _guarded(self, device: WireDevice, act: Callable[[], float | None]) -> None:
        try:
            self._due_s[device] = act() or 0.0
        except OSError:
            self._unwatch(device)
            device.lost()
            self._due_s[device] = 0.0

    def _watch(self, device: WireDevice) -> None:
        current = device.connection.socket if device.connection else None
        if current is not None and self._sockets.get(device) is not current:
            self._unwatch(device)
            self._watched.register(current, selectors.EVENT_READ, device)
            self._sockets[device] = current

    def _unwatch(self, device: WireDevice) -> None:
        if watched := self._sockets.pop(device, None):
            self._watched.unregister(watched)


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


class WireFleet:
    """The fleet's process."""

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    def scores(self) -> list[Score]:
        """How every device is doing.

        Raises:
            EOFError: the process has ended.
        """
        self._orders.send("scores")
        return list(self._orders.recv())


@contextmanager
def wire_fleet(up: Cloud, count: int, channel: Channel) -> Iterator[WireFleet]:
    """So many devices of a channel, connected, without a link of their own.

    Raises:
        RuntimeError: they are not connected in time.
    """
    ours, theirs = Pipe()
    folder, link = up.folder / "wire", load_catalogue(up.catalogue).link[channel.name]
    folder.mkdir()
    names = tuple(f"wire-{number:04}" for number in range(count))
    process = spawned(be_a_fleet, names, channel.profile, link, up.wire_broker, folder, theirs)
    theirs.close()
    try:
        if not ours.poll(READY_S):
            raise RuntimeError(f"{count} devices did not connect within {READY_S:g} s")
        ours.recv()
        yield WireFleet(ours)
    finally:
        process.kill()
        process.join(5)


def fetched_by_all(fleet: WireFleet, after_s: float, within_s: float) -> list[Score]:
    """Everyone's score once all of them have what they were told to fetch after a moment.

    Raises:
        TimeoutError: they have not within so many seconds; says how many.
        RuntimeError: a device refused it.
    """
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        scores = fleet.scores()
        if refused := next((one for one in scores if one.refused), None):
            raise RuntimeError(f"{refused.device} refused: {refused.refused}")
        done = [one for one in scores if (one.told_s or 0) > after_s and one.fetched_s]
        if len(done) == len(scores):
            return scores
        time.sleep(0.2)
    raise TimeoutError(f"{len(done)} of {len(scores)} devices had it within {within_s:g} s")
