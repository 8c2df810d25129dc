"""500 devices on a fast channel: what they hear of what they need, and how often it is sent."""

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.links.cloud import Channel, cloud
from benchmarks.links.sized import SizedModel
from benchmarks.links.wire_fleet import fetched_by_all, wire_fleet
from benchmarks.processes import wait
from benchmarks.result import Result, at_most
from benchmarks.timing import spread

CHANNEL = Channel("ninety-megabit", 90_000, rtt_ms=20)
DEVICES = 500
MODEL = SizedModel("common", 1, 328_000)
JOIN_S, FETCHED_S, SETTLED_S = 120.0, 300.0, 5.0
HEARD, SENT = 1.3, 2.0


def measure(broker: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    """One rollout to all of them."""
    with ExitStack() as stack:
        up = stack.enter_context(cloud(broker, [CHANNEL], folder))
        up.build(MODEL, CHANNEL)
        fleet = stack.enter_context(wire_fleet(up, DEVICES, CHANNEL))
        wait(lambda: up.count_devices() >= DEVICES, "the devices to join", JOIN_S, poll_s=1)
        before, began_s = up.sent_bytes(), time.monotonic()
        up.start(MODEL, concurrency=DEVICES)
        fetched_by_all(fleet, began_s, FETCHED_S)
        time.sleep(SETTLED_S)  # what nobody needs any more is heard, too
        scores, sent_bytes = fleet.scores(), up.sent_bytes() - before
    heard = sum(one.heard_bytes for one in scores) / sum(one.needed_bytes for one in scores)
    sent = sent_bytes / scores[0].needed_bytes
    result.rows.append(
        {
            "scenario": "crowd",
            "broker": broker,
            "devices": DEVICES,
            "artifact bytes": scores[0].needed_bytes,
            "seconds": spread([one.fetched_s - one.told_s for one in scores if one.fetched_s and one.told_s]),
            "told within s": _range_s([one.told_s for one in scores if one.told_s]),
            "heard to needed": spread([one.heard_bytes / one.needed_bytes for one in scores]),
            "sent to artifact": sent,
            "cuts": sum(one.cuts for one in scores),
            "wants": statistics.mean(one.wants for one in scores),
        }
    )
    result.bars += [
        at_most(f"crowd, {broker}: bytes heard to bytes needed, of all devices", HEARD, heard),
        at_most(f"crowd, {broker}: bytes that the controller sent to artifact", SENT, sent),
    ]


def _range_s(times: list[float]) -> float:
    return max(times) - min(times)
