"""The latency histogram: the hdrhistogram package is the oracle."""

import base64
import contextlib
import random
import struct
import zlib

import pytest
from hdrh.histogram import HdrHistogram

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.latency import DIGITS, HIGHEST, LOWEST, UNIT_S, LatencyHistogram, check

PERCENTS = (0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)


def lognormal(seed: int, count: int) -> list[int]:
    rng = random.Random(seed)
    middle, spread = rng.uniform(3, 12), rng.uniform(0.1, 2.5)
    return [min(max(int(rng.lognormvariate(middle, spread)), LOWEST), HIGHEST) for _ in range(count)]


def uniform(seed: int, count: int) -> list[int]:
    return [random.Random(seed + at).randint(LOWEST, HIGHEST) for at in range(count)]


SETS = {
    "nothing": [],
    "the lowest": [LOWEST],
    "the highest": [HIGHEST],
    "the borders of the buckets": [value for bit in range(22) for value in (2**bit - 1, 2**bit, 2**bit + 1) if value],
    "one value many times": [1234] * 5000,
    **{f"{count} lognormal, seed {seed}": lognormal(seed, count) for seed in range(12) for count in (1, 7, 1000)},
    **{f"300 uniform, seed {seed}": uniform(seed, 300) for seed in range(3)},
}


def ours(units: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in units:
        histogram.record(value * UNIT_S)
    return histogram


def oracle(units: list[int]) -> HdrHistogram:
    histogram = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    for value in units:
        assert histogram.record_value(value)
    return histogram


@pytest.mark.parametrize("units", SETS.values(), ids=SETS.keys())
def test_the_bytes_are_those_of_hdrhistogram(units: list[int]) -> None:
    assert ours(units).encode().encode() == oracle(units).encode()


@pytest.mark.parametrize("units", SETS.values(), ids=SETS.keys())
def test_the_percentiles_are_those_of_hdrhistogram(units: list[int]) -> None:
    expected = oracle(units)
    histogram = ours(units)
    for percent in PERCENTS:
        found = histogram.percentile_ms(percent)
        if not units:
            assert found is None
        else:
            assert found == pytest.approx(expected.get_value_at_percentile(percent) * UNIT_S * 1000)


@pytest.mark.parametrize("units", SETS.values(), ids=SETS.keys())
def test_what_hdrhistogram_encodes_is_read(units: list[int]) -> None:
    read = LatencyHistogram.decode(oracle(units).encode().decode())
    assert read.count == len(units)
    assert read.encode() == ours(units).encode()


def test_merged_histograms_are_the_histogram_of_all() -> None:
    one, other = lognormal(1, 500), lognormal(2, 900)
    merged = ours(one)
    merged.add(ours(other))
    assert merged.encode() == ours(one + other).encode()
    assert merged.count == 1400


def test_values_out_of_range_are_clamped_and_counted() -> None:
    histogram = LatencyHistogram()
    for seconds in (-1.0, 0.0, 1e-9, 61.0, 1e9, float("inf")):
        histogram.record(seconds)
    assert histogram.count == 6
    assert histogram.encode() == ours([LOWEST] * 3 + [HIGHEST] * 3).encode()


def test_a_percentile_is_right_to_one_percent() -> None:
    histogram = LatencyHistogram()
    for _ in range(100):
        histogram.record(0.0123)
    assert histogram.percentile_ms(50) == pytest.approx(12.3, rel=0.01)


def packed(body: bytes, *, digits: int = DIGITS, highest: int = HIGHEST, length: int | None = None) -> str:
    size = len(body) if length is None else length
    plain = struct.pack(">iiiiqqd", 0x1C849313, size, 0, digits, 1, highest, 1.0) + body
    squeezed = zlib.compress(plain)
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(squeezed)) + squeezed).decode()


def bomb() -> str:
    squeezed = zlib.compress(bytes(100_000_000))
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(squeezed)) + squeezed).decode()


HOSTILE = {
    "nothing": "",
    "no base64": "****",
    "no ASCII": "ÄÖÜ",
    "too short": "AAAA",
    "another cookie": base64.b64encode(b"\0" * 60).decode(),
    "no zlib": base64.b64encode(struct.pack(">ii", 0x1C849314, 20) + b"x" * 20).decode(),
    "a wrong outer length": packed(b"\x02")[:-4],
    "a wrong inner length": packed(b"\x02", length=2),
    "a negative inner length": packed(b"\x02", length=-1),
    "another precision": packed(b"\x02", digits=5),
    "another range": packed(b"\x02", highest=2**62),
    "too many counters": packed(b"\x02" * 2177),
    "a run of zeros past the end": packed(b"\xff\xff\xff\xff\xff\xff\x01" + b"\x02"),
    "an endless counter": packed(b"\xff" * 30),
    "a counter cut off": packed(b"\x02\xff"),
    "a bomb": bomb(),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_histogram_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        LatencyHistogram.decode(text)


@pytest.mark.parametrize("units", SETS.values(), ids=SETS.keys())
def test_what_is_written_passes_the_check(units: list[int]) -> None:
    check(ours(units).encode())


@pytest.mark.parametrize(
    "kind", ["nothing", "no base64", "no ASCII", "too short", "another cookie", "a wrong outer length"]
)
def test_what_is_none_from_outside_does_not_pass_the_check(kind: str) -> None:
    with pytest.raises(MalformedMessage):
        check(HOSTILE[kind])


def test_random_damage_is_refused_or_read_but_never_raises_otherwise() -> None:
    rng = random.Random(7)
    whole = bytearray(base64.b64decode(ours(lognormal(3, 300)).encode()))
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(MalformedMessage):
            LatencyHistogram.decode(base64.b64encode(damaged).decode())
