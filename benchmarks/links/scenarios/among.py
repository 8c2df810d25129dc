"""A device of 30 kbit/s among twenty fast ones on a channel of 5 Mbit/s: 328 KB to all of them."""

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, Cloud, cloud
from benchmarks.links.fetching import WatchedFetch, join
from benchmarks.links.namespaces import link_to_device
from benchmarks.links.shape import LinkShape
from benchmarks.links.sized import SizedModel
from benchmarks.links.wire_device import Score
from benchmarks.links.wire_fleet import WireFleet, fetched_by_all, wire_fleet
from benchmarks.processes import wait
from benchmarks.result import Result, at_most
from benchmarks.timing import spread

CHANNEL = Channel("five-megabit", 5000)
SHAPE = LinkShape(kbps=30, rtt_ms=100)
FAST, WITHOUT, SIZE_BYTES = 20, 3, 328_000
WAITS = 3.0
FAST_S, JOIN_S, ROLLOUT_S, SWITCHED_S = 120.0, 60.0, 120.0, 60.0
TIME, SENT = 1.2, 2.2


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """Rounds without the slow device, and then one with it."""
    models = [SizedModel("shared", version, SIZE_BYTES) for version in range(1, WITHOUT + 2)]
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        for model in models:
            up.build(model, CHANNEL)
        fleet = stack.enter_context(wire_fleet(up, FAST, CHANNEL))
        wait(lambda: up.count_devices() >= FAST, "the fast devices to join", JOIN_S, poll_s=0.5)
        without = [_alone(up, fleet, model) for model in models[:-1]]
        link = stack.enter_context(link_to_device(0, SHAPE, up.broker_port, options.seed))
        agent = join(up, "slow", CHANNEL, link)
        stack.callback(agent.stop)
        began_s = time.monotonic()
        fetch = WatchedFetch(up, agent, link, models[-1], WAITS)
        fast = _median_s(fetched_by_all(fleet, began_s, FAST_S))
        found = fetch.result()
        time.sleep(SWITCHED_S if found.seconds else 0)
        switched_s = up.watcher.reached("slow", models[-1].name, ("trial", "committed"))
    ratio = fast / statistics.median(without)
    row = {"fast: s with it": fast, "fast: s without": spread(without), "fast: ratio": ratio}
    switched = "no" if switched_s is None else f"after {switched_s - fetch.order.at_s:.0f} s"
    result.rows.append(found.row("among", broker) | row | {"slow one has switched": switched})
    result.bars += [
        at_most(f"among, {broker}: the fast ones' seconds to a run without the slow one", TIME, ratio),
        at_most(f"among, {broker}: bytes that the controller sent to artifact", SENT, found.sent_share),
        at_most(f"among, {broker}: slow devices that did not get it", 0, 0 if found.seconds else 1),
    ]


def _alone(up: Cloud, fleet: WireFleet, model: SizedModel) -> float:
    began_s = time.monotonic()
    rollout = up.start(model, concurrency=FAST)
    took_s = _median_s(fetched_by_all(fleet, began_s, FAST_S))
    up.api.rollouts.wait(rollout, timeout_s=ROLLOUT_S)
    return took_s


def _median_s(scores: list[Score]) -> float:
    return statistics.median(one.fetched_s - one.told_s for one in scores if one.fetched_s and one.told_s)
