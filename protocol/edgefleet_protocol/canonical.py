"""Canonical JSON, and the digests that name bytes."""

import json
from hashlib import sha256
from typing import Any


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values are equal bytes; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(data: bytes) -> str:
    """The sha256 of `data` in hex: the name of a blob everywhere."""
    return sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """The sha256 of a value's canonical JSON, in hex."""
    return digest(canonical_json(value))
