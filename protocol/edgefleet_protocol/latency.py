"""Latency as an HDR histogram: percentiles of a fleet are merged from histograms, never averaged.

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
    """Counts of latencies; out of range they are clamped, so that nothing is lost in silence."""

    def __init__(self) -> None:
        self._counts = [0] * _COUNTERS
        self.count = 0

    def record(self, seconds: float) -> None:
        """Count one latency."""
        units = round(min(max(seconds / UNIT_S, LOWEST), HIGHEST))
        self._counts[_index(units)] += 1
        self.count += 1

    def add(self, other: "LatencyHistogram") -> None:
        """Merge another histogram into this one."""
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count

    def percentile_ms(self, percent: float) -> float | None:
        """The latency, in ms, that `percent` % of the recorded ones do not exceed; None when there is none."""
        if not self.count:
            return None
        wanted = max(1, int(min(percent, 100) * self.count / 100 + 0.5))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return _highest_value(index) * UNIT_S * 1000
        raise AssertionError("the counters sum to `count`")

    def encode(self) -> str:
        """The histogram as base64 text, a few hundred bytes."""
        body = b"".join(_zigzag(number) for number in self._runs())
        plain = _HEADER.pack(_COOKIE, len(body), 0, DIGITS, LOWEST, HIGHEST, 1.0) + body
        packed = zlib.compress(plain)
        return base64.b64encode(_OUTER.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode()

    def _runs(self) -> Iterator[int]:
        """The counters up to the last one in use; a run of zeros is its negated length."""
        last = max((i for i, count in enumerate(self._counts) if count), default=-1)
        zeros = 0
        for count in self._counts[: last + 1]:
            if count == 0:
                zeros += 1
                continue
            if zeros:
                yield -zeros
                zeros = 0
            yield count
        if zeros:
            yield -zeros

    @classmethod
    def decode(cls, text: str) -> "LatencyHistogram":
        """Read a histogram off the wire.

        Raises:
            MalformedMessage: no histogram, or one of another configuration.
        """
        try:
            raw = base64.b64decode(text, validate=True)
            cookie, length = _OUTER.unpack_from(raw)
            if cookie != _COMPRESSED_COOKIE or length != len(raw) - _OUTER.size:
                raise MalformedMessage("no compressed HDR histogram of version 2")
            plain = zlib.decompressobj().decompress(raw[_OUTER.size :], _MAX_PLAIN_BYTES + 1)
            header = _HEADER.unpack_from(plain)
        except (binascii.Error, ValueError, struct.error, zlib.error) as error:
            raise MalformedMessage(f"no latency histogram: {error}") from None
        body = plain[_HEADER.size :]
        if header[:6] != (_COOKIE, len(body), 0, DIGITS, LOWEST, HIGHEST):
            raise MalformedMessage(f"a latency histogram of another configuration: {header}")
        return cls._from_numbers(_unzigzag(body))

    @classmethod
    def _from_numbers(cls, numbers: Iterator[int]) -> "LatencyHistogram":
        histogram, index = cls(), 0
        for number in numbers:
            if number <= 0:
                index -= number or -1
                continue
            if index >= _COUNTERS:
                raise MalformedMessage("a latency histogram with too many counters")
            histogram._counts[index] = number
            histogram.count += number
            index += 1
        return histogram


def _zigzag(number: int) -> bytes:
    """ZigZag LEB128 of a number whose size stays under 2**55."""
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
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 56:
            raise MalformedMessage("a counter that is too large")
        if not byte & 0x80:
            yield value >> 1 if value & 1 == 0 else -(value >> 1) - 1
            value = shift = 0
    if shift:
        raise MalformedMessage("the latency histogram ends within a counter")
