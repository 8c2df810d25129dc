"""MQTT 3.1.1 frames as bytes: for senders that must be faster than a client library, and for those who only look."""

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, PING = 0x10, 0x30, 0x40, 0x82, 0x90, 0xA2, 0xC0


def text(value: str) -> bytes:
    """A string as MQTT writes it: two bytes of length, then UTF-8."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def frame(kind: int, body: bytes) -> bytes:
    """A frame: its first byte, the length, the body."""
    size, length = bytearray(), len(body)
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes((kind,)) + bytes(size) + body


def next_frame(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the body of the frame at `at` begins and ends; None while it is not all here."""
    length = shift = 0
    for begin in range(at + 1, min(at + 5, len(data))):
        length |= (data[begin] & 0x7F) << shift
        shift += 7
        if not data[begin] & 0x80:
            end = begin + 1 + length
            return (begin + 1, end) if end <= len(data) else None
    return None


def published(first: int, body: bytes) -> tuple[str, bytes]:
    """The topic and the payload of a PUBLISH frame, given its first byte and its body."""
    size = int.from_bytes(body[:2], "big")
    begin = 2 + size + (2 if first & 0x06 else 0)
    return body[2 : 2 + size].decode(), body[begin:]
