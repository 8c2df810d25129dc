"""How long an order takes to a device whose link is busy: from the broker's ear to the end of the link."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.links.cloud import Cloud, DesiredOrder, LinkedAgent
from benchmarks.links.namespaces import DeviceLink
from benchmarks.processes import wait
from edgefleet_protocol import topics
from edgefleet_protocol.messages import DesiredState, decode

PUBLISHED_S = 30.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Arrival:
    """An order's way: `seconds` to the device, or None if it had not come after `waited_s`."""

    what: str
    seconds: float | None
    waited_s: float

    @property
    def at_least_s(self) -> float:
        """The seconds; the time waited where it never came."""
        return self.waited_s if self.seconds is None else self.seconds

    def __str__(self) -> str:
        return f"not within {self.waited_s:.0f} s" if self.seconds is None else f"{self.seconds:.1f} s"


def arrival_of(
    what: str, give: Callable[[], object], cloud: Cloud, agent: LinkedAgent, link: DeviceLink, model: str, wait_s: float
) -> Arrival:
    """Give an order and see when it comes out of the link.

    Args:
        what: its name.
        give: gives it, by the API.
        cloud: where it is given.
        agent: whom it concerns.
        link: the agent's link.
        model: which model it concerns.
        wait_s: how long to wait for it.

    Raises:
        TimeoutError: the controller does not publish it.
    """
    began_s = time.monotonic()
    give()
    order = wait(lambda: cloud.watcher.first_order(agent.id, model, began_s), f"'{what}' to be published", PUBLISHED_S)
    seen, until_s = 0, order.at_s + wait_s
    while time.monotonic() < until_s:
        for message in (new := link.relay.messages(seen)):
            if message.topic == topics.desired(agent.id) and _says(message.payload, order):
                return Arrival(what, max(0.0, message.at_s - order.at_s), wait_s)
        seen += len(new)
        time.sleep(LOOK_S)
    return Arrival(what, None, wait_s)


def _says(payload: bytes, order: DesiredOrder) -> bool:
    asked = decode(DesiredState, payload).models.get(order.model) if payload else None
    return asked is not None and (asked.generation, asked.activate) == (order.generation, order.activate)
