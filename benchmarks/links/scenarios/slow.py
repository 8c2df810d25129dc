"""A device of 64 kbit/s on a channel of 5 Mbit/s fetches 1.44 MB; then as much again, while orders must reach it.

The first transfer says what the link carries for the model alone: an order has reports of its own.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, Cloud, DesiredOrder, LinkedAgent, cloud
from benchmarks.links.control import Arrival, TimedOrders
from benchmarks.links.fetching import TOLD_S, FetchOutcome, WatchedFetch, install, join
from benchmarks.links.namespaces import link_to_device
from benchmarks.links.shape import LinkShape
from benchmarks.links.sized import SizedModel
from benchmarks.processes import wait
from benchmarks.result import Result, at_most

CHANNEL = Channel("five-megabit", 5000)
SHAPE = LinkShape(kbps=64, rtt_ms=100)
BIG, AGAIN = SizedModel("big", 1, 1_440_000), SizedModel("again", 1, 1_440_000)
# Two more models are there and staged in a next version before the transfer begins: orders alone must pass it.
SWITCHED, NEXT_SWITCHED = SizedModel("switched", 1, 6000), SizedModel("switched", 2, 6000)
ABORTED, NEXT_ABORTED = SizedModel("aborted", 1, 6000), SizedModel("aborted", 2, 6000)
WAITS = 2.5
GIVEN_AT = (0.1, 0.3, 0.5)
"""When an order is given, in shares of the ideal time: each meets a link that has been busy for a while."""
ORDER_S = 120.0
TIME, SENT, LINK, CONTROL_S = 1.25, 1.1, 1.1, 15.0


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """Two transfers, the second with `activate`, `rollback` and `abort` on its way."""
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        for model in (BIG, AGAIN, SWITCHED, NEXT_SWITCHED, ABORTED, NEXT_ABORTED):
            up.build(model, CHANNEL)
        link = stack.enter_context(link_to_device(0, SHAPE, up.broker_port, options.seed))
        agent = join(up, "slow", CHANNEL, link)
        stack.callback(agent.stop)
        alone = WatchedFetch(up, agent, link, BIG, WAITS).result()
        for model in (SWITCHED, ABORTED):
            install(up, agent, model)
        staged = [_stage(up, agent, model) for model in (NEXT_SWITCHED, NEXT_ABORTED)]
        fetch = WatchedFetch(up, agent, link, AGAIN, WAITS)
        arrivals = _orders(TimedOrders(up, agent, link), fetch, *staged)
        _report(broker, alone, fetch.result(), arrivals, result)


def _stage(up: Cloud, agent: LinkedAgent, model: SizedModel) -> str:
    """A rollout that is paused before its device has staged it: it switches when it is resumed."""
    began_s = time.monotonic()
    rollout = up.start(model)
    order = wait(lambda: up.watcher.first_order(agent.id, model.name, began_s), f"{model.ref} to be told", TOLD_S)
    up.api.rollouts.pause(rollout)
    wait(lambda: up.watcher.reached(agent.id, model.name, ("staged",), order.generation), f"{model.ref} staged", 60)
    return rollout


def _orders(timed: TimedOrders, fetch: WatchedFetch, switched: str, aborted: str) -> list[Arrival]:
    rollouts = timed.cloud.api.rollouts
    orders: list[tuple[str, Callable[[], object], SizedModel]] = [
        ("activate", lambda: rollouts.resume(switched), SWITCHED),
        ("rollback", lambda: rollouts.roll_back(switched), SWITCHED),
        ("abort", lambda: rollouts.abort(aborted), ABORTED),
    ]
    given: list[tuple[str, DesiredOrder, bool]] = []
    for share, (what, act, model) in zip(GIVEN_AT, orders, strict=True):
        time.sleep(max(0.0, fetch.order.at_s + share * SHAPE.ideal_s(AGAIN.size_bytes) - time.monotonic()))
        order = timed.give(what, act, model.name)
        given.append((what, order, fetch.under_way))
    return [Arrival(what, met, timed.arrived_s(order, ORDER_S), ORDER_S) for what, order, met in given]


def _report(broker: str, alone: FetchOutcome, ordered: FetchOutcome, arrivals: list[Arrival], result: Result) -> None:
    result.rows.append(alone.row("slow", broker))
    result.rows.append(ordered.row("slow, with orders", broker) | {one.what: str(one) for one in arrivals})
    name = f"slow, {broker}"
    result.bars += [
        *alone.bars(name, time_limit=TIME, sent_limit=SENT),
        at_most(f"{name}: bytes on the link to artifact", LINK, alone.link.link_bytes / alone.size_bytes),
        *ordered.bars(f"{name}, with orders", time_limit=TIME, sent_limit=SENT),
        *(at_most(f"{name}: seconds until '{one.what}' arrives", CONTROL_S, one.at_least_s) for one in arrivals),
        at_most(f"{name}: connections that the broker cut", 0, alone.link.cuts + ordered.link.cuts),
    ]
