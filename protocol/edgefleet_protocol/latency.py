"""Latency as an HDR histogram: percentiles of a fleet come from merged histograms, and are never averaged.

Encoding: HdrHistogram V2, zlib-compressed, base64 (github.com/HdrHistogram/HdrHistogram, EncodableHistogram), in one
fixed configuration: unit 10 µs, 1 to 6,000,000 units (10 µs to 60 s), two significant digits.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator

from edgefleet_protocol.errors import MalformedMessage

UNIT_S = 1e-5
LOWEST, HIGHEST, DIGITS = 1, 6_000_000, 2
_HALF_BITS = 7  # 2 digits need 256 sub-buckets; half of them, 128, is 2**7
_HALF = 1 << _HALF_BITS
_COUNTERS = 2176  # (16 buckets + 1) * 128
_MOST = 2**55 - 1  # the largest counter that fits into eight bytes
_COOKIE, _COMPRESSED_COOKIE = 0x1C849313, 0x1C849314
_HEADER = struct.Struct(">iiiiqqd")
_OUTER = struct.Struct(">ii")
_MAX_PLAIN_BYTES = _HEADER.size + _COUNTERS * 9


def _index(value: int) -> int:
    bucket = max(value.bit_length() - _HALF_BITS - 1, 0)
    return ((bucket + 1) << _HALF_BITS) + (value >> bucket) - _HALF


def _highest_value(index: int) -> int:
    bucket, sub = (index >> _HALF_BITS) - 1, (index & _HALF - 1) + _HALF
    if bucket < 0:
        bucket, sub = 0, sub - _HALF
    return ((sub + 1) << bucket) - 1


class LatencyHistogram:
    """Counts of latencies; those out of range are clamped, so that none is silently lost."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}  # by index; one minute of one device uses a few dozen of the 2176
        self.count = 0

    def __eq__(self, other: object) -> bool:
        return self._counts == other._counts if isinstance(other, LatencyHistogram) else NotImplemented

    @property
    def told(self) -> str | None:
        """The histogram as text; None if nothing was recorded."""
        return self.encode() if self.count else None

    def record(self, seconds: float) -> None:
        """Count one latency."""
        units = round(min(max(seconds / UNIT_S, LOWEST), HIGHEST))
        index = _index(units)
        self._counts[index] = self._counts.get(index, 0) + 1
        self.count += 1

    def add(self, other: "LatencyHistogram") -> None:
        """Merge another histogram into this one."""
        counts = self._counts
        for index, count in other._counts.items():
            counts[index] = counts.get(index, 0) + count
        self.count += other.count

    def clipped(self, at_most: int) -> "LatencyHistogram":
        """A histogram of at most this many latencies, whose percentiles are the same to within one of them."""
        if self.count <= at_most:
            return self
        thinned, seen = LatencyHistogram(), 0
        for index in sorted(self._counts):
            before, seen = seen, seen + self._counts[index]
            if kept := seen * at_most // self.count - before * at_most // self.count:
                thinned._counts[index] = kept
        thinned.count = at_most
        return thinned

    def percentile_ms(self, percent: float) -> float | None:
        """The latency, in ms, that `percent` % of the recorded ones don't exceed; None if nothing was recorded."""
        if not self.count:
            return None
        # Huge counts lose precision as floats: never go beyond the total.
        wanted = min(max(1, int(min(percent, 100) * self.count / 100 + 0.5)), self.count)
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= wanted:
                return _highest_value(index) * UNIT_S * 1000
        raise AssertionError("the counters sum to `count`")

    def count_above(self, ms: float) -> int:
        """How many of the recorded latencies are above `ms`, to the resolution of the histogram."""
        units = min(max(round(ms / 1000 / UNIT_S), LOWEST), HIGHEST)
        at = _index(units)
        return sum(count for index, count in self._counts.items() if index > at)

    def encode(self) -> str:
        """The histogram as base64 text, a few hundred bytes; counters are capped at 2**55 - 1."""
        body = b"".join(_zigzag(number) for number in self._runs())
        plain = _HEADER.pack(_COOKIE, len(body), 0, DIGITS, LOWEST, HIGHEST, 1.0) + body
        packed = zlib.compress(plain)
        return base64.b64encode(_OUTER.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode()

    def _runs(self) -> Iterator[int]:
        """The counters up to the last one in use; a run of zeros is its negated length."""
        after = 0
        for index in sorted(self._counts):
            if index > after:
                yield after - index
            yield min(self._counts[index], _MOST)
            after = index + 1

    @classmethod
    def decode(cls, text: str) -> "LatencyHistogram":
        """Read a histogram off the wire.

        Raises:
            MalformedMessage: not a histogram, or one with another configuration.
        """
        return cls._from_numbers(_unzigzag(_body(text)))

    @classmethod
    def _from_numbers(cls, numbers: Iterator[int]) -> "LatencyHistogram":
        histogram, index = cls(), 0
        counts = histogram._counts
        for number in numbers:
            if number > 0:
                if index >= _COUNTERS:
                    raise MalformedMessage("a latency histogram with too many counters")
                counts[index] = number
                index += 1
            else:
                index -= number or -1
        histogram.count = sum(counts.values())
        return histogram


def check(text: str) -> None:
    """Check that a text looks like a histogram, without unpacking its counters.

    For ingest, which takes thousands a second; errors inside are found when the histogram is read.

    Raises:
        MalformedMessage: it doesn't.
    """
    _packed(text)


def _packed(text: str) -> bytes:
    """The compressed part of a text."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
        cookie, length = _OUTER.unpack_from(raw)
    except (binascii.Error, ValueError, struct.error) as error:
        raise MalformedMessage(f"not a latency histogram: {error}") from None
    if cookie != _COMPRESSED_COOKIE or length != len(raw) - _OUTER.size:
        raise MalformedMessage("not a compressed HDR histogram of version 2")
    return raw[_OUTER.size :]


def _body(text: str) -> bytes:
    """The encoded counters, without headers."""
    try:
        plain = zlib.decompressobj().decompress(_packed(text), _MAX_PLAIN_BYTES + 1)
        header = _HEADER.unpack_from(plain)
    except (ValueError, struct.error, zlib.error) as error:
        raise MalformedMessage(f"not a latency histogram: {error}") from None
    body = plain[_HEADER.size :]
    if header[:6] != (_COOKIE, len(body), 0, DIGITS, LOWEST, HIGHEST):
        raise MalformedMessage(f"a latency histogram with another configuration: {header}")
    return body


def _zigzag(number: int) -> bytes:
    """ZigZag LEB128 of a number whose magnitude stays below 2**55."""
    value = number * 2 if number >= 0 else -number * 2 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _unzigzag(body: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in body:
        if byte < 0x80 and not shift:  # the fast path for nearly all counters: whole fleets are read
            yield -(byte >> 1) - 1 if byte & 1 else byte >> 1
            continue
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 56:
            raise MalformedMessage("a counter of the latency histogram is too large")
        if not byte & 0x80:
            yield value >> 1 if value & 1 == 0 else -(value >> 1) - 1
            value = shift = 0
    if shift:
        raise MalformedMessage("the latency histogram ends within a counter")
