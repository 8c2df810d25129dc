"""A blob of reduced answers, one a sample: what a task made of each is the task's own, and opaque here."""

import struct
from collections.abc import Sequence

from edgefleet_protocol.errors import MalformedMessage

VERSION = 1
MAX_ANSWERS = 1024
MAX_ANSWER_BYTES = 4096
_HEAD, _LENGTH = struct.Struct(">BH"), struct.Struct(">H")


def pack_answers(answers: Sequence[bytes]) -> bytes:
    """The blob with these answers: a version byte, their number, then each with its length before it.

    Raises:
        ValueError: there are too many, or one is too long.
    """
    if len(answers) > MAX_ANSWERS or any(len(answer) > MAX_ANSWER_BYTES for answer in answers):
        raise ValueError(f"at most {MAX_ANSWERS} answers of at most {MAX_ANSWER_BYTES} bytes each")
    return _HEAD.pack(VERSION, len(answers)) + b"".join(_LENGTH.pack(len(answer)) + answer for answer in answers)


def unpack_answers(data: bytes) -> tuple[bytes, ...]:
    """The answers of a blob.

    Raises:
        MalformedMessage: the bytes are not such a blob.
    """
    if len(data) < _HEAD.size:
        raise MalformedMessage(f"{len(data)} bytes are no blob of answers")
    version, count = _HEAD.unpack_from(data)
    if version != VERSION:
        raise MalformedMessage(f"version {version} of a blob of answers is unknown: this side knows {VERSION}")
    if count > MAX_ANSWERS:
        raise MalformedMessage(f"a blob claims {count} answers: at most {MAX_ANSWERS} are accepted")
    answers, at = [], _HEAD.size
    for number in range(count):
        if at + _LENGTH.size > len(data):
            raise MalformedMessage(f"a blob of {count} answers ends after {number}")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > MAX_ANSWER_BYTES or at + length > len(data):
            raise MalformedMessage(f"answer {number} claims {length} bytes: too many, or more than there are")
        answers.append(data[at : at + length])
        at += length
    if at != len(data):
        raise MalformedMessage(f"{len(data) - at} bytes follow the last of {count} answers")
    return tuple(answers)
