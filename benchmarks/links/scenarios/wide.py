"""A device of 8 Mbit/s on a channel of 90 Mbit/s: 30 MB."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, cloud
from benchmarks.links.fetching import WatchedFetch, join
from benchmarks.links.namespaces import link_to_device
from benchmarks.links.shape import LinkShape
from benchmarks.links.sized import SizedModel
from benchmarks.result import Result, at_most

CHANNEL = Channel("ninety-megabit", 90_000, rtt_ms=20)
SHAPE = LinkShape(kbps=8000, rtt_ms=40)
MODEL = SizedModel("large", 1, 30_000_000)
WAITS = 4.0
TIME = 1.15


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """One transfer."""
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        up.build(MODEL, CHANNEL)
        link = stack.enter_context(link_to_device(0, SHAPE, up.broker_port, options.seed))
        agent = join(up, "wide", CHANNEL, link)
        stack.callback(agent.stop)
        found = WatchedFetch(up, agent, link, MODEL, WAITS).result()
    result.rows.append(found.row("wide", broker))
    result.bars += [
        at_most(f"wide, {broker}: seconds to the link's ideal", TIME, found.time_to_ideal),
        at_most(f"wide, {broker}: connections that the broker cut", 0, found.link.cuts),
    ]
