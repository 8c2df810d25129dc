"""50 kbit/s with a round trip of 600 ms, on for a minute and off for a minute: 328 KB."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, cloud
from benchmarks.links.fetching import WatchedFetch, join
from benchmarks.links.namespaces import link_to_device
from benchmarks.links.shape import LinkHours, LinkShape
from benchmarks.links.sized import SizedModel
from benchmarks.result import Result

CHANNEL = Channel("fifty-kilobit", 50, rtt_ms=600)
SHAPE = LinkShape(kbps=50, rtt_ms=600)
MODEL = SizedModel("remote", 1, 328_000)
ON_S = OFF_S = 60.0
FIRST_S = 30.0
"""The transfer begins in the middle of an hour that is on: it needs more than is left, so that it must wait."""
WAITS = 4.0
TIME, SENT = 1.2, 1.1


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """One transfer; its ideal counts the time that the link is off."""
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        up.build(MODEL, CHANNEL)
        link = stack.enter_context(link_to_device(0, SHAPE, up.broker_port, options.seed))
        agent = join(up, "remote", CHANNEL, link)
        stack.callback(agent.stop)
        hours = LinkHours(ON_S, OFF_S, began_s=time.monotonic() - (ON_S - FIRST_S))
        link.relay.keep(hours)
        found = WatchedFetch(up, agent, link, MODEL, WAITS, hours).result()
    result.rows.append(found.row("hours", broker))
    result.bars += found.bars(f"hours, {broker}", time_limit=TIME, sent_limit=SENT)
