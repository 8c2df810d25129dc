"""How long an order takes to a device whose link is busy: from the broker's ear to the end of the link."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.links.cloud import Cloud, DesiredOrder, LinkedAgent
from benchmarks.links.namespaces import DeviceLink
from benchmarks.links.packets import PassedMessage
from benchmarks.processes import wait
from edgefleet_protocol import topics
from edgefleet_protocol.messages import DesiredState, decode

PUBLISHED_S = 30.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Arrival:
    """An order's way: `seconds` to the device, or None if it had not come after `waited_s`.

    `met` says whether the transfer went on when it was given: an order that meets an idle link proves nothing.
    """

    what: str
    met: bool
    seconds: float | None
    waited_s: float

    @property
    def at_least_s(self) -> float | None:
        """The seconds; the time waited where it never came; None where it proves nothing."""
        if not self.met:
            return None
        return self.waited_s if self.seconds is None else self.seconds

    def __str__(self) -> str:
        if not self.met:
            return "given too late"
        return f"not within {self.waited_s:.0f} s" if self.seconds is None else f"{self.seconds:.1f} s"


@dataclass(frozen=True)
class TimedOrders:
    """Gives orders to one agent, and sees when they come out of its link."""

    cloud: Cloud
    agent: LinkedAgent
    link: DeviceLink

    def give(self, what: str, act: Callable[[], object], model: str) -> DesiredOrder:
        """Give an order by the API; as the broker got it.

        Raises:
            TimeoutError: the controller does not publish it.
        """
        began_s, watcher = time.monotonic(), self.cloud.watcher
        act()
        heard = f"'{what}' to be published"
        return wait(lambda: watcher.first_order(self.agent.id, model, began_s), heard, PUBLISHED_S)

    def arrived_s(self, order: DesiredOrder, wait_s: float) -> float | None:
        """How long it took to the device, or a later one that stands for it; None: not within `wait_s`."""
        seen, until_s = 0, order.at_s + wait_s
        while True:
            for message in (new := self.link.relay.messages(seen)):
                if order.at_s < message.at_s <= until_s and self._concerns(message, order):
                    return message.at_s - order.at_s
            seen += len(new)
            if time.monotonic() > until_s:
                return None
            time.sleep(LOOK_S)

    def _concerns(self, message: PassedMessage, order: DesiredOrder) -> bool:
        if message.topic != topics.desired(self.agent.id) or not message.payload:
            return False
        asked = decode(DesiredState, message.payload).models.get(order.model)
        return asked is not None and (asked.generation, asked.activate) >= (order.generation, order.activate)
