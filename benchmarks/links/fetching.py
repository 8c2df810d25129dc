"""One device that fetches one model over its link: what a scenario waits for, and what it counts."""

import threading
import time
from dataclasses import asdict, dataclass

from benchmarks.links.cloud import Channel, Cloud, LinkedAgent
from benchmarks.links.namespaces import DeviceLink
from benchmarks.links.relay import LinkCount
from benchmarks.links.shape import LinkHours
from benchmarks.links.sized import SizedModel
from benchmarks.processes import wait
from benchmarks.result import Bar, Row, at_most

JOIN_S, TOLD_S, INSTALL_S = 90.0, 30.0, 120.0
SETTLED_S = 5.0
"""What nobody needs any more would still be sent, and counts."""
FETCHED = ("verified", "staged", "self_test", "trial", "committed")
LOOK_S = 0.05


@dataclass(frozen=True)
class FetchOutcome:
    """How an artifact came, or did not.

    Attributes:
        size_bytes: everything that the device had to fetch, manifest and golden set included.
        seconds: from the order at the broker to the device's report that all of it is here and right; None: not within
            the time that it was given.
        waited_s: that time.
        ideal_s: what the link needs for the bytes alone.
        sent_bytes: what the controller sent, without framing.
        link: what the link carried.
        wants: how often the device asked.
    """

    size_bytes: int
    seconds: float | None
    waited_s: float
    ideal_s: float
    sent_bytes: int
    link: LinkCount
    wants: int

    @property
    def time_to_ideal(self) -> float:
        """At least; the time that was waited, if it did not come."""
        return (self.seconds or self.waited_s) / self.ideal_s

    @property
    def sent_share(self) -> float:
        """What the controller sent, in artifacts."""
        return self.sent_bytes / self.size_bytes

    def row(self, scenario: str, broker: str) -> Row:
        """All of it, for the table."""
        return {
            "scenario": scenario,
            "broker": broker,
            "artifact bytes": self.size_bytes,
            "seconds": self.seconds or f"not within {self.waited_s:.0f}",
            "ideal s": self.ideal_s,
            "sent to artifact": self.sent_share,
            "link to artifact": self.link.link_bytes / self.size_bytes,
            "wants": self.wants,
            "connections": 1 + self.link.connections,
            "cuts": self.link.cuts,
            "counted": asdict(self.link),
        }

    def bars(self, name: str, *, time_limit: float, sent_limit: float) -> list[Bar]:
        """What every scenario asks: when it is here, and how often it was sent."""
        return [
            at_most(f"{name}: seconds to the link's ideal", time_limit, self.time_to_ideal),
            at_most(f"{name}: bytes that the controller sent to artifact", sent_limit, self.sent_share),
        ]


@dataclass
class WatchedFetch:
    """A fetch under way, watched by a thread of its own, so that orders can be given meanwhile."""

    cloud: Cloud
    agent: LinkedAgent
    link: DeviceLink
    model: SizedModel
    waits: float
    """For how many times the ideal."""
    hours: LinkHours | None = None

    def __post_init__(self) -> None:
        self._found: FetchOutcome | None = None
        self._sent, self._carried = self.cloud.sent_bytes(), self.link.relay.count()
        began_s, watcher = time.monotonic(), self.cloud.watcher
        self.rollout = self.cloud.start(self.model)
        device, model = self.agent.id, self.model.name
        self.order = wait(lambda: watcher.first_order(device, model, began_s), f"{self.model.ref} to be told", TOLD_S)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def result(self) -> FetchOutcome:
        """What came of it, once that is known.

        Raises:
            RuntimeError: the watching failed.
        """
        self._thread.join()
        if self._found is None:
            raise RuntimeError(f"{self.model.ref} could not be watched")
        return self._found

    def _watch(self) -> None:
        watcher, device, model = self.cloud.watcher, self.agent.id, self.model.name
        told_s, generation = self.order.at_s, self.order.generation
        size_bytes = self.cloud.delivery_bytes(self.model)
        ideal_s = self.link.shape.ideal_s(size_bytes, told_s, self.hours)
        until_s = told_s + self.waits * ideal_s
        while (reached_s := watcher.reached(device, model, FETCHED, generation)) is None and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        time.sleep(SETTLED_S)
        attempt = watcher.last_attempt(device, model)
        self._found = FetchOutcome(
            size_bytes=size_bytes,
            seconds=reached_s - told_s if reached_s else None,
            waited_s=until_s - told_s,
            ideal_s=ideal_s,
            sent_bytes=self.cloud.sent_bytes() - self._sent,
            link=self.link.relay.count().since(self._carried),
            wants=attempt.transfer.wants if attempt else 0,
        )


def join(cloud: Cloud, device: str, channel: Channel, link: DeviceLink) -> LinkedAgent:
    """Start an agent and wait until the controller knows it.

    Raises:
        TimeoutError: it does not come.
    """
    agent = LinkedAgent(cloud, device, channel, link)
    agent.start()
    wait(lambda: cloud.knows(device) or agent.ended(), f"{device} to join", JOIN_S, poll_s=0.2)
    return agent


def install(cloud: Cloud, agent: LinkedAgent, model: SizedModel) -> None:
    """Roll a model out, and wait until the agent has committed it.

    Raises:
        TimeoutError: it does not.
    """
    began_s, watcher = time.monotonic(), cloud.watcher
    cloud.start(model)
    order = wait(lambda: watcher.first_order(agent.id, model.name, began_s), f"{model.ref} to be told", TOLD_S)
    there = f"{model.ref} to be committed"
    wait(lambda: watcher.reached(agent.id, model.name, ("committed",), order.generation), there, INSTALL_S)
