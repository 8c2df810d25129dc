"""What one file of a model answers to a whole split, kept reduced, so that two versions can be compared later."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgefleet_protocol.answers import MAX_ANSWERS, pack_answers, unpack_answers
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec

VERSION = 1
MAX_HEAD_BYTES = 32 * 2**20
"""32,768 names of 200 characters each fit."""
_LENGTH = struct.Struct(">I")
_DIGEST_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """Reduced answers to every sample of a split, in its order.

    Attributes:
        task: the name of the task that reduced them.
        spec: how the answers of the model version are meant, with the names of its classes.
        signature: what the file takes and gives.
        data: the sha256 of the split's samples and labels.
        answers: one a sample, or one to each step of it.
        steps: how many of them each sample has that is a sequence; empty for one a sample.
    """

    task: str
    spec: Spec
    signature: Signature
    data: str
    answers: tuple[bytes, ...]
    steps: tuple[int, ...] = ()

    def pack(self) -> bytes:
        """As bytes: a head of JSON, then the answers in blocks, each part with its length before it.

        Raises:
            ValueError: an answer is too long.
        """
        head = {
            "version": VERSION,
            "task": self.task,
            "spec": self.spec.told(),
            "signature": self.signature.told(),
            "data": self.data,
            "samples": len(self.answers),
        } | ({"steps": self.steps} if self.steps else {})
        return _packed(json.dumps(head).encode()) + pack_all(self.answers)

    @classmethod
    def unpack(cls, data: bytes) -> "AnswerSet":
        """The set of what `pack` gave.

        Raises:
            MalformedMessage: the bytes are no such set.
        """
        head, at = _part(data, 0)
        task, spec, signature, split, samples, steps = _head(head)
        answers = unpack_all(data[at:])
        if len(answers) != samples:
            raise MalformedMessage(f"a set of {samples} answers holds {len(answers)}")
        if steps and sum(steps) != samples:
            raise MalformedMessage(f"a set of {samples} answers is of sequences with {sum(steps)} steps")
        return cls(task, spec, signature, split, answers, steps)


def pack_all(answers: Sequence[bytes]) -> bytes:
    """Any number of answers as bytes, in blocks.

    Raises:
        ValueError: an answer is too long.
    """
    starts = range(0, len(answers), MAX_ANSWERS)
    return b"".join(_packed(pack_answers(answers[start : start + MAX_ANSWERS])) for start in starts)


def unpack_all(data: bytes) -> tuple[bytes, ...]:
    """The answers of what `pack_all` gave.

    Raises:
        MalformedMessage: the bytes are no such blocks.
    """
    answers: list[bytes] = []
    at = 0
    while at < len(data):
        block, at = _part(data, at)
        answers += unpack_answers(block)
    return tuple(answers)


def _packed(part: bytes) -> bytes:
    return _LENGTH.pack(len(part)) + part


def _part(data: bytes, at: int) -> tuple[bytes, int]:
    """The part that begins at a place, and where it ends."""
    begin = at + _LENGTH.size
    if begin > len(data):
        raise MalformedMessage(f"{len(data)} bytes are no whole set of answers")
    end = begin + _LENGTH.unpack_from(data, at)[0]
    if end > len(data):
        raise MalformedMessage(f"a part of a set of answers claims {end - begin} bytes: {len(data) - begin} are left")
    return data[begin:end], end


def _head(data: bytes) -> tuple[str, Spec, Signature, str, int, tuple[int, ...]]:
    if len(data) > MAX_HEAD_BYTES:
        raise MalformedMessage(f"the head of a set of answers has {len(data)} bytes: at most {MAX_HEAD_BYTES}")
    try:
        told: Any = json.loads(data)
        if (version := told["version"]) != VERSION:
            raise MalformedMessage(f"version {version!r:.20} of a set of answers is unknown: this side knows {VERSION}")
        task, split, samples, spec = (told[key] for key in ("task", "data", "samples", "spec"))
        signature = Signature.of(told["signature"])
        steps = tuple(told.get("steps", ()))
        if not all(type(count) is int and count > 0 for count in steps):
            raise MalformedMessage("the head of a set of answers has sequences without steps")
        right = isinstance(task, str) and isinstance(split, str) and len(split) == _DIGEST_CHARACTERS
        if not (right and type(samples) is int and isinstance(spec, dict)):
            raise MalformedMessage("the head of a set of answers is not one")
        return task, Spec.of(spec), signature, split, samples, steps
    except MalformedMessage:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"the head of a set of answers cannot be read: {error!r:.200}") from None
