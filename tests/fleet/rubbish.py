"""What a stranger sends: messages that are none, topics that are none, and sound messages with small changes."""

import base64
import json
import random
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any


def bomb(counters: bytes) -> str:
    """A latency histogram that says something else than it is."""
    header = struct.pack(">iiiiqqd", 0x1C849313, len(counters), 0, 2, 1, 6_000_000, 1.0)
    packed = zlib.compress(header + counters)
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(packed)) + packed).decode()


NO_SKETCHES = ("?" * 100, "☃", "AAAA", base64.b64encode(struct.pack(">ii", 0x1C849314, 9) + b"rubb").decode())
LYING_SKETCHES = {
    "no zlib": base64.b64encode(struct.pack(">ii", 0x1C849314, 4) + b"rubb").decode(),
    "unfolds to 6 MB": bomb(bytes(6_000_000)),
    "more counters than there are": bomb(b"\x02" * 10_000),
    "a counter without end": bomb(b"\xff" * 40),
    "a run of zeros without end": bomb(b"\xff\xff\xff\xff\xff\xff\xff\x7f\x02"),
    "ends within a counter": bomb(b"\x02\x80"),
}
RUBBISH: dict[str, bytes] = {
    "half a JSON": b'{"schema_version": 1',
    "words": b"hello, is anybody there?",
    "no UTF-8": b"\xff\xfe\x00" * 100,
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e308",
    "NaN": b"NaN",
    "a message of NaN": b'{"jitter_s": NaN, "models": NaN, "incarnation": NaN, "through": NaN}',
    "a version of 0": b'{"schema_version": 0}',
    "a version of -1": b'{"schema_version": -1}',
    "a version in words": b'{"schema_version": "one"}',
    "a version beyond all": b'{"schema_version": 99999999999999999999999}',
    "an integer of 10,000 digits": b'{"through": ' + b"9" * 10_000 + b"}",
    "nested a thousand deep": b'{"x": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "nested 100,000 deep": b'{"x":' * 100_000,
    "100,000 lists deep": b"[" * 100_000,
    "1 MB of letters": b"x" * 1_000_000,
    "1 MB of JSON": b'{"x": "' + b"x" * 999_000 + b'"}',
    "wrong types": b'{"models": 7, "jitter_s": {}, "incarnation": [], "online": 9, "seq": "x", "blob": null}',
    "half a surrogate pair": b'{"incarnation": "\\ud800", "jitter_s": "\\ud800", "models": {"\\ud800": {}}}',
}
HARMLESS: dict[str, bytes] = {
    "a version to come": b'{"schema_version": 2, "of_a_newer_version": true, "jitter_s": 0.1}',
    "a version far off": b'{"schema_version": 999, "jitter_s": 0.1}',
}
"""What a kind without required fields takes."""
ODD_TOPICS = [
    b"edgefleet/v1/up/00/steady/reported",
    "edgefleet/v1/up/00/größe-☃/reported".encode(),
    b"edgefleet/v1/up/00/STEADY/presence",
    b"edgefleet/v1/up/00/a b/telemetry",
    b"edgefleet/v1/up/00/a.b*>/telemetry",
    b"edgefleet/v1/up/00//want",
    b"edgefleet/v1/up//steady/want",
    b"edgefleet/v1/up/00/../../etc/reported",
    b"edgefleet/v1/up/00/" + b"a" * 10_000 + b"/reported",
    b"edgefleet/v1/up/00/a\nb/reported",
    b"edgefleet/v1/up/00/\xff\xfe/reported",
    b"edgefleet/v1/up/00/steady/unheard",
    b"edgefleet/v1/up/+/+/reported",
    b"edgefleet/v1/up/#",
    b"edgefleet/v1/up/00/st\x00ady/reported",
]


def publish_raw(broker: str, topic: bytes, data: bytes) -> None:
    """Publish what no client library would; the broker may close the connection for it."""
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04odd!")
        assert connection.recv(4)[:1] == b"\x20"
        body = struct.pack(">H", len(topic)) + topic + data
        length, left = bytearray(), len(body)
        while left:
            left, low = divmod(left, 128)
            length.append(low | (128 if left else 0))
        try:
            connection.sendall(b"\x30" + bytes(length) + body + b"\xe0\x00")
            while connection.recv(1024):
                pass
        except OSError:
            pass


def mutations(data: bytes, draw: random.Random, count: int) -> Iterator[bytes]:
    """Versions of a message that differ in some bytes, or in some value."""
    whole = json.loads(data)
    for _ in range(count):
        if draw.random() < 0.4:
            changed = bytearray(data)
            for _ in range(draw.randint(1, 4)):
                at = draw.randrange(len(changed))
                changed[at : at + draw.choice((0, 1, 1, 5))] = draw.choice((b"", b"\x00", b'"', b"}", b"9", b"\xc3"))
            yield bytes(changed)
        else:
            yield json.dumps(_mutated(json.loads(json.dumps(whole)), draw)).encode()


NASTY = (None, True, -1, 0, 1.5, 2**31, 2**53, 2**63, 10**400, 1e308, "", "x" * 3_000, "\u0000", "☃", [], {}, [[]])


def _mutated(value: Any, draw: random.Random) -> Any:
    """A value with one of its parts, however deep, replaced, removed or doubled."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw.random() < 0.25:
        return draw.choice(NASTY)
    key = draw.choice(keys)
    if draw.random() < 0.6:
        value[key] = _mutated(value[key], draw)
    elif isinstance(value, dict) and draw.random() < 0.5:
        value[draw.choice(("x", "", "☃", "a" * 70, f"{key}s"))] = value.pop(key)
    else:
        del value[key]
    return value
