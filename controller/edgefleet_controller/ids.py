"""Ids and the clock."""

import secrets
import time
import uuid


def now_ms() -> int:
    """Milliseconds UTC, by the controller's clock."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): ordered by time, random within a millisecond."""
    value = (now_ms() & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
