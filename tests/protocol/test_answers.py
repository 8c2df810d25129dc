"""A blob of reduced answers: written, read, and refused if it is hostile."""

import random

import pytest

from edgefleet_protocol.answers import MAX_ANSWER_BYTES, MAX_ANSWERS, pack_answers, unpack_answers
from edgefleet_protocol.errors import MalformedMessage

SOME = (b"abc", b"", bytes(300))


@pytest.mark.parametrize("answers", [(), SOME, (bytes(MAX_ANSWER_BYTES),), (b"x",) * MAX_ANSWERS])
def test_answers_come_back_as_they_were(answers: tuple[bytes, ...]) -> None:
    assert unpack_answers(pack_answers(answers)) == answers


def test_the_bytes_are_those_of_the_documented_form() -> None:
    assert pack_answers([b"ab", b"c"]) == b"\x01\x00\x02\x00\x02ab\x00\x01c"


@pytest.mark.parametrize("answers", [[bytes(MAX_ANSWER_BYTES + 1)], [b""] * (MAX_ANSWERS + 1)])
def test_too_much_is_never_written(answers: list[bytes]) -> None:
    with pytest.raises(ValueError, match="at most"):
        pack_answers(answers)


@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        (b"", "0 bytes are no blob"),
        (b"\x01\x00", "2 bytes are no blob"),
        (b"\x02\x00\x00", "version 2"),
        (b"\x01\xff\xff", "claims 65535 answers"),
        (b"\x01\x00\x02\x00\x01a", "2 answers ends after 1"),
        (b"\x01\x00\x01\xff\xff", "claims 65535 bytes"),
        (b"\x01\x00\x01\x00\x02a", "claims 2 bytes"),
        (b"\x01\x00\x01\x00\x01ab", "1 bytes follow"),
    ],
)
def test_hostile_bytes_are_refused_in_one_clear_line(hostile: bytes, told: str) -> None:
    with pytest.raises(MalformedMessage, match=told):
        unpack_answers(hostile)


def test_any_bytes_are_read_or_refused_and_nothing_else() -> None:
    dice, sound = random.Random(4), pack_answers(SOME)
    for _ in range(5000):
        mutated = bytearray(sound)
        for _ in range(dice.randint(1, 4)):
            mutated[dice.randrange(len(mutated))] = dice.randrange(256)
        try:
            found = unpack_answers(bytes(mutated[: dice.randint(0, len(mutated))]))
        except MalformedMessage:
            continue
        assert pack_answers(found) == bytes(mutated)[: len(pack_answers(found))]
