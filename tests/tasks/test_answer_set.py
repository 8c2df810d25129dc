"""Kept answers to a split: written, read, and refused if they are hostile."""

import json
import random
import struct
from dataclasses import replace

import pytest

from edgefleet_protocol.answers import MAX_ANSWER_BYTES, MAX_ANSWERS, pack_answers
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.answer_set import AnswerSet

SPEC = Spec(names=("cat", "dog"), strata=(0, 1, 2, 3, 4, 5, 6), boxes=BoxReading(OutputColumns(0), OutputColumns(1)))
TAKES = Signature((Tensor("x", "FP32", (None, 4)),), (Tensor("y", "FP32", ("n", 2)),))
SOME = AnswerSet("classification", SPEC, TAKES, "a" * 64, (b"abc", b"", bytes(300)))


def packed(head: object, *blocks: bytes) -> bytes:
    parts = (head if isinstance(head, bytes) else json.dumps(head).encode(), *blocks)
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def head(**changes: object) -> dict[str, object]:
    told = {"version": 1, "task": "regression", "spec": {}, "signature": TAKES.told(), "data": "a" * 64, "samples": 0}
    return told | changes


@pytest.mark.parametrize("answers", [(), (b"x",), (b"y",) * (2 * MAX_ANSWERS + 1), (bytes(MAX_ANSWER_BYTES),)])
def test_a_set_comes_back_as_it_was(answers: tuple[bytes, ...]) -> None:
    one = replace(SOME, answers=answers)
    assert AnswerSet.unpack(one.pack()) == one
    assert one.pack() == one.pack()


def test_an_answer_that_is_too_long_is_never_written() -> None:
    with pytest.raises(ValueError, match="at most"):
        replace(SOME, answers=(bytes(MAX_ANSWER_BYTES + 1),)).pack()


@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        (b"", "0 bytes are no whole set"),
        (b"\0\0\0", "3 bytes are no whole set"),
        (b"\xff\xff\xff\xff", "claims 4294967295 bytes: 0 are left"),
        (packed(b"["), "cannot be read"),
        (packed(b"[" * 100_000), "cannot be read"),
        (packed([]), "cannot be read"),
        (packed(head(version=2)), "version 2"),
        (packed(head(task=3)), "is not one"),
        (packed(head(data="a")), "is not one"),
        (packed(head(samples=True)), "is not one"),
        (packed(head(spec=[])), "is not one"),
        (packed(head(spec={"colour": 1})), "cannot be read"),
        (packed(head(spec={"scale": [10**400]})), "cannot be read"),
        (packed(head(spec={"names": [1]})), "cannot be read"),
        (packed(head(signature={"inputs": []})), "cannot be read"),
        (packed(head(signature={"inputs": [3], "outputs": []})), "cannot be read"),
        (packed(head(samples=1)), "a set of 1 answers holds 0"),
        (packed(head(), pack_answers([b"a"])), "a set of 0 answers holds 1"),
        (packed(head(), b"\x01\xff\xff"), "claims 65535 answers"),
        (packed(head()) + b"\0", "no whole set"),
    ],
)
def test_bytes_that_are_no_set_are_refused(hostile: bytes, told: str) -> None:
    with pytest.raises(MalformedMessage, match=told):
        AnswerSet.unpack(hostile)


def test_any_bytes_are_read_or_refused() -> None:
    dice, good = random.Random(0), SOME.pack()
    for _ in range(2000):
        hostile = bytearray(good[: dice.randint(0, len(good))] if dice.random() < 0.3 else good)
        for _ in range(3):
            if hostile:
                hostile[dice.randrange(len(hostile))] = dice.randrange(256)
        try:
            AnswerSet.unpack(bytes(hostile))
        except MalformedMessage:
            continue
