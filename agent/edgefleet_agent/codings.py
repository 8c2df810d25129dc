"""Content codings of HTTP bodies (RFC 9110, section 8.4): gzip and deflate, never beyond a limit. No I/O."""

import re
import zlib

from edgefleet_agent.errors import RequestError

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # deflate means the zlib format, not bare deflate
LEVEL = 1
"""A device pays for each byte with time, and tensors hardly shrink further at a higher level."""
_ELEMENT = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


def decoded(data: bytes, coding: str, limit_bytes: int) -> bytes:
    """A request's body without its coding.

    Args:
        data: the body as it came.
        coding: its Content-Encoding.
        limit_bytes: how large it may become.

    Raises:
        RequestError: 415 for a coding that is not supported, 413 if it becomes too large, 400 if it cannot be read.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in _WINDOW_BITS:
        raise RequestError(415, f"Content-Encoding '{coding[:50]}' is not supported: send gzip, deflate or neither")
    stream = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        plain = stream.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, f"the body is not {coding}: {error}") from None
    if len(plain) > limit_bytes:
        raise RequestError(413, f"the body has more than the {limit_bytes} bytes allowed once it is decompressed")
    if not stream.eof:
        raise RequestError(400, f"the body ends before its {coding} stream does")
    if stream.unused_data:
        raise RequestError(400, f"the body goes on after its {coding} stream: send a single one")
    return plain


def chosen(accepted: str) -> str | None:
    """The coding for an answer by the client's Accept-Encoding; None for none."""
    quality: dict[str, float] = {}
    for element in accepted.lower().split(","):
        if found := _ELEMENT.fullmatch(element):
            quality[found[1]] = float(found[2] or 1)
    best = max(("gzip", "deflate"), key=lambda coding: quality.get(coding, 0.0))
    wanted = quality.get(best, 0.0)
    return best if wanted > 0 and wanted >= quality.get("identity", 0.0) else None


def encoded(data: bytes, coding: str) -> bytes:
    """An answer's body in a coding that `chosen` gave."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW_BITS[coding])
    return stream.compress(data) + stream.flush()
