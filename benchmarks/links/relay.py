"""The process that is a link: it passes packets between two TUN devices, one at each end, and counts them."""

import fcntl
import os
import select
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.links.packets import PassedMessage, Traffic
from benchmarks.links.shape import LinkHours, LinkShape, OneWay

TUN = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_READ_BYTES, _PACKETS_AT_ONCE = 2048, 256
IDLE_S = 1.0


@dataclass(frozen=True)
class LinkCount:
    """What a link has carried since it was made.

    Attributes:
        down_bytes, up_bytes: of IP packets, lost ones too, by direction.
        lost: packets that the link's loss took.
        overflowed: packets that found the queue full.
        connections: how many the device opened to its broker.
        cuts: how many of them the broker ended.
    """

    down_bytes: int = 0
    up_bytes: int = 0
    lost: int = 0
    overflowed: int = 0
    connections: int = 0
    cuts: int = 0

    @property
    def link_bytes(self) -> int:
        """Both directions."""
        return self.down_bytes + self.up_bytes

    def since(self, before: "LinkCount") -> "LinkCount":
        """What was carried after `before` was read."""
        return LinkCount(*(getattr(self, name) - getattr(before, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class LinkPlan:
    """Which link to be: the names of its TUN devices, its shape, the seed of its losses, and the broker's port."""

    near: str
    far: str
    shape: LinkShape
    seed: int
    broker_port: int


def open_tun(name: str) -> int:
    """A TUN device of this network namespace; it lives as long as its descriptor.

    Raises:
        OSError: TUN is missing or not permitted.
    """
    descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


@dataclass
class Relay:
    """Both directions, and what was seen in them."""

    plan: LinkPlan
    near: int
    far: int
    down: OneWay = field(init=False)
    up: OneWay = field(init=False)
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.down, self.up = (OneWay(self.plan.shape, 2 * self.plan.seed + n) for n in (0, 1))
        self.traffic = Traffic(self.plan.broker_port)

    def step(self, orders: Connection) -> bool:
        """Wait for what comes next and do it; False once it is told to end."""
        times = [at_s for at_s in (self.down.next_s(), self.up.next_s()) if at_s is not None]
        wait_s = max(0.0, min([*times, time.monotonic() + IDLE_S]) - time.monotonic())
        waited: list[int | Connection] = [self.near, self.far, orders]
        ready = select.select(waited, [], [], wait_s)[0]
        if self.near in ready:
            for packet in _packets(self.near):
                self.traffic.downward(packet)
                self.down.offer(packet, time.monotonic())
        if self.far in ready:
            for packet in _packets(self.far):
                self.traffic.upward(packet)
                self.up.offer(packet, time.monotonic())
        now_s = time.monotonic()
        for packet in self.down.arrived(now_s):
            _pass_on(self.far, packet)
            self.traffic.arrived(packet, now_s)
        for packet in self.up.arrived(now_s):
            _pass_on(self.near, packet)
        return self._obey(orders) if orders in ready else True

    def _obey(self, orders: Connection) -> bool:
        try:
            order = orders.recv()
        except EOFError:
            return False
        if isinstance(order, LinkHours):
            self.down.hours = self.up.hours = order
        elif isinstance(order, int):
            orders.send(self.traffic.messages[order:])
        elif order == "count":
            orders.send(self.count())
        return bool(order != "end")

    def count(self) -> LinkCount:
        """What was carried so far."""
        return LinkCount(
            down_bytes=self.down.sent_bytes,
            up_bytes=self.up.sent_bytes,
            lost=self.down.lost + self.up.lost,
            overflowed=self.down.overflowed + self.up.overflowed,
            connections=self.traffic.connections,
            cuts=self.traffic.cuts,
        )


def be_a_link(plan: LinkPlan, orders: Connection) -> None:
    """The process.

    Args:
        plan: which link to be.
        orders: takes `LinkHours` (when to be on), a number (answers the messages from that one on), "count" and "end".
    """
    relay = Relay(plan, open_tun(plan.near), open_tun(plan.far))
    orders.send("ready")
    try:
        while relay.step(orders):
            pass
    except KeyboardInterrupt:
        pass


def _packets(descriptor: int) -> list[bytes]:
    """What waits to be read, IPv4 alone: a namespace's own discovery of neighbours is no part of the link."""
    found = []
    for _ in range(_PACKETS_AT_ONCE):
        try:
            packet = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            break
        if packet[0] >> 4 == 4:
            found.append(packet)
    return found


def _pass_on(descriptor: int, packet: bytes) -> None:
    with suppress(OSError):  # the far end is down, as it is while it is set up and taken away
        os.write(descriptor, packet)


class LinkProcess:
    """The link's process, as the benchmark sees it."""

    def __init__(self, orders: Connection) -> None:
        self._orders, self._mutex = orders, threading.Lock()

    def keep(self, hours: LinkHours) -> None:
        """Be on and off from now on."""
        with self._mutex:
            self._orders.send(hours)

    def count(self) -> LinkCount:
        """What was carried so far."""
        counted = self._ask("count")
        assert isinstance(counted, LinkCount)
        return counted

    def messages(self, after: int = 0) -> list[PassedMessage]:
        """The MQTT messages that arrived at the device, without the first `after`."""
        return list(self._ask(after))

    def end(self) -> None:
        """End the process."""
        with suppress(OSError), self._mutex:  # it may have ended already
            self._orders.send("end")

    def _ask(self, order: object) -> Any:
        with self._mutex:
            self._orders.send(order)
            return self._orders.recv()
