"""Telemetry windows with sane defaults, so that a test shows only what it is about."""

import random
from typing import Any

from edgefleet_controller.store.contract.rollups import DAY_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

T0 = 20_000 * DAY_MS
INCARNATION = "1" * 32


def facts(region: str = "eu", hardware: str = "rpi4", link: str = "lte") -> Facts:
    return Facts(hardware=hardware, region=region, link=link, arch="aarch64", cores=4, ram_mb=4096)


def latency(*ms: float) -> str:
    histogram = LatencyHistogram()
    for each in ms:
        histogram.record(each / 1000)
    return histogram.encode()


def window(seq: int, received_ms: int = T0, device: str = "d", of: Facts | None = None, **fields: Any) -> StoredWindow:
    given = {"model": "fashion", "model_version": 1, "variant": "a" * 64, "generation": 1, "duration_ms": 60_000}
    told = TelemetryWindow(seq=seq, **{"incarnation": INCARNATION, "first_kept_seq": 1, **given, **fields})
    return StoredWindow(device, told, of or facts(), received_ms)


def of_a_fleet(hours: int = 30) -> list[StoredWindow]:
    """Three devices on two profiles, one window each half hour, two variants, some labels."""
    rng = random.Random(7)
    found = []
    for device, place in (("a", facts()), ("b", facts("na", "rpi5", "wifi")), ("c", facts("na", "rpi5", "wifi"))):
        for seq in range(1, hours * 2 + 1):
            times = [rng.lognormvariate(2, 0.5) for _ in range(rng.randint(1, 20))]
            fields = {
                "variant": ("a" if seq % 3 else "b") * 64,
                "requests": len(times) + 2,
                "errors": seq % 2,
                "not_finite": int(seq == 4),
                "latency": latency(*times) if seq % 5 else None,
                "labelled": len(times),
                "correct": rng.randint(0, len(times)),
                "predicted": {"0": len(times), str(seq % 4): 1},
            }
            found.append(window(seq, T0 + seq * 1_800_000 + rng.randint(0, 1_799_999), device, place, **fields))
    return found
