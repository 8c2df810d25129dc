"""1 Mbit/s, 100 ms, 2 % loss: 1.44 MB beside one plain TCP stream of as many bytes, in turns."""

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, cloud
from benchmarks.links.fetching import FetchOutcome, WatchedFetch, join
from benchmarks.links.namespaces import link_to_device
from benchmarks.links.plain_tcp import seconds_of, serving
from benchmarks.links.shape import LinkShape
from benchmarks.links.sized import SizedModel
from benchmarks.result import Result, at_least
from benchmarks.timing import spread

CHANNEL = Channel("one-megabit", 1000, rtt_ms=100, loss=0.02)
SHAPE = LinkShape(kbps=1000, rtt_ms=100, loss=0.02)
ROUNDS, SIZE_BYTES = 5, 1_440_000
WAITS = 10.0
SHARE = 0.85


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """Both sides in turns; another version in each round, since a device fetches nothing twice."""
    models = [SizedModel("lossy", version, SIZE_BYTES) for version in range(1, ROUNDS + 1)]
    ours: list[FetchOutcome] = []
    plain_s: list[float] = []
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        for model in models:
            up.build(model, CHANNEL)
        link = stack.enter_context(link_to_device(0, SHAPE, up.broker_port, options.seed))
        agent = join(up, "lossy", CHANNEL, link)
        stack.callback(agent.stop)
        for model in models:
            fetch = WatchedFetch(up, agent, link, model, WAITS)
            ours.append(fetch.result())
            up.api.rollouts.wait(fetch.rollout, timeout_s=60)
            size_bytes = ours[-1].size_bytes
            port = stack.enter_context(serving(size_bytes))
            plain_s.append(seconds_of(link, port, size_bytes, WAITS * SHAPE.ideal_s(size_bytes)))
    took_s = [one.seconds or one.waited_s for one in ours]
    share = statistics.median(plain_s) / statistics.median(took_s)
    more = {"rounds": ROUNDS, "seconds": spread(took_s), "plain TCP s": spread(plain_s), "share of plain TCP": share}
    repeats = {"repeats": [one.row("lossy", broker) for one in ours], "plain TCP, all s": plain_s}
    result.rows.append(ours[-1].row("lossy", broker) | more | repeats)
    result.bars.append(at_least(f"lossy, {broker}: share of what plain TCP gets", SHARE, share))
