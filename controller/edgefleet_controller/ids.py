"""Ids that the controller makes."""

import secrets
import uuid

from edgefleet_controller.clock import now_ms


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): ordered by time, random within a millisecond."""
    value = (now_ms() & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
