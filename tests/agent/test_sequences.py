"""Sequences: what a request may say of one, which are kept and for how long, and in which order they are asked."""

import threading
import time
from typing import Any

import pytest
from tests.agent.scripted import Clock

from edgefleet_agent import sequences
from edgefleet_agent.errors import RequestError, SequenceEnded
from edgefleet_agent.sequences import KeptState, Sequences, SequenceStep, step_of
from edgefleet_protocol.signature import Tensor

H = Tensor("h", "FP32", (2, 1, 64), batched=False)


def kind(variant: str = "a", version: int = 1, carries: bool = True, h: Tensor = H, size_bytes: int = 8) -> KeptState:
    return KeptState(variant, version, (("hn", h),), carries, 60.0, size_bytes)


def step(kept: Sequences, given: SequenceStep, state: bytes = b"12345678", of: KeptState | None = None) -> bytes:
    """One step that is answered; what state it was given."""
    of = of or kind()
    with kept.turn("m", given) as turn:
        if refusal := turn.refusal(of):
            raise refusal
        before = turn.given(of)
        turn.took(of, state)
    return before


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"sequence_id": 7, "sequence_start": True}, SequenceStep(7, starts=True)),
        ({"sequence_id": 2**64 - 1, "sequence_end": True}, SequenceStep(2**64 - 1, ends=True)),
        ({"sequence_id": "door", "sequence_start": False, "sequence_end": False}, SequenceStep("door")),
    ],
)
def test_a_step_is_named_as_tritons_clients_do(parameters: dict[str, Any], expected: SequenceStep) -> None:
    assert step_of(parameters, has_state=True) == expected


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "this model keeps state: name the sequence of this step with sequence_id"),
        ({"sequence_start": True}, "name the sequence"),
        ({"sequence_id": 0}, "whole number above 0"),
        ({"sequence_id": -1}, "whole number above 0"),
        ({"sequence_id": True}, "whole number above 0"),
        ({"sequence_id": 1.5}, "whole number above 0"),
        ({"sequence_id": ""}, "text of at most 128"),
        ({"sequence_id": "x" * 129}, "text of at most 128"),
        ({"sequence_id": 1, "sequence_start": 1}, "must be true or false"),
    ],
)
def test_what_names_no_step_is_told(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told) as refused:
        step_of(parameters, has_state=True)
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_a_model_without_state_has_no_sequences(name: str) -> None:
    with pytest.raises(RequestError, match=f"'{name}' is of no use: this model keeps no state"):
        step_of({name: 1}, has_state=False)
    assert step_of({}, has_state=False) is None


def test_each_step_is_given_what_the_one_before_left() -> None:
    kept = Sequences(Clock())
    assert step(kept, SequenceStep(7, starts=True), b"1") == b""
    assert step(kept, SequenceStep("7", starts=True), b"another") == b""
    assert step(kept, SequenceStep(7), b"2") == b"1"
    assert step(kept, SequenceStep(7, ends=True)) == b"2"
    assert len(kept) == 1
    with pytest.raises(RequestError, match="sequence 7 is not under way: begin with sequence_start") as refused:
        step(kept, SequenceStep(7))
    assert refused.value.status == 400
    assert step(kept, SequenceStep("7")) == b"another"


def test_a_step_without_an_answer_changes_nothing() -> None:
    kept = Sequences(Clock())
    step(kept, SequenceStep(1, starts=True), b"one")
    with pytest.raises(ZeroDivisionError), kept.turn("m", SequenceStep(1)) as turn:
        assert turn.given(kind()) == b"one"
        raise ZeroDivisionError
    assert step(kept, SequenceStep(1)) == b"one"


def test_a_start_ends_what_was_under_way_even_if_it_is_not_answered() -> None:
    kept = Sequences(Clock())
    step(kept, SequenceStep(1, starts=True), b"old")
    with pytest.raises(ZeroDivisionError), kept.turn("m", SequenceStep(1, starts=True)) as turn:
        assert turn.given(kind()) == b""
        raise ZeroDivisionError
    with pytest.raises(RequestError, match="not under way"):
        step(kept, SequenceStep(1))
    assert len(kept) == 0


def test_a_start_that_fails_says_that_it_ended_what_was_under_way() -> None:
    kept = Sequences(Clock())

    def fails(of: SequenceStep) -> str:
        with pytest.raises(RequestError, match="the model failed") as told, kept.turn("m", of):
            raise RequestError(500, "the model failed")
        assert told.value.status == 500
        return str(told.value)

    ended = "; the sequence 1 that was under way has ended with this start: begin with sequence_start"
    assert ended not in fails(SequenceStep(1, starts=True))
    step(kept, SequenceStep(1, starts=True), b"old")
    assert fails(SequenceStep(1)) == "the model failed"
    assert step(kept, SequenceStep(1)) == b"old"
    assert fails(SequenceStep(1, starts=True)) == f"the model failed{ended}"


def test_a_sequence_of_one_step_is_never_kept() -> None:
    kept = Sequences(Clock(), at_most=0)
    assert step(kept, SequenceStep(1, starts=True, ends=True)) == b""
    assert len(kept) == 0


def test_an_idle_sequence_ends(clock: Clock) -> None:
    kept = Sequences(clock)
    step(kept, SequenceStep(1, starts=True), b"one")
    clock.now_s += 60
    assert step(kept, SequenceStep(1), b"two") == b"one"
    clock.now_s += 61
    with pytest.raises(RequestError, match="sequence 1 was idle for over 60 s, and has ended: begin with"):
        step(kept, SequenceStep(1))
    with pytest.raises(RequestError, match="not under way"):
        step(kept, SequenceStep(1))


def test_as_many_are_kept_as_there_is_room_for(clock: Clock) -> None:
    kept = Sequences(clock, at_most=3, at_most_bytes=24)
    for one in (1, 2, 3):
        step(kept, SequenceStep(one, starts=True))
    with pytest.raises(RequestError, match="3 sequences are under way, as many as are kept here") as refused:
        step(kept, SequenceStep(4, starts=True))
    assert refused.value.status == 503
    assert step(kept, SequenceStep(3, starts=True)) == b""  # in its own place
    step(kept, SequenceStep(1, ends=True))
    step(kept, SequenceStep(4, starts=True))
    clock.now_s += 61
    step(kept, SequenceStep(5, starts=True))
    assert len(kept) == 1


def test_their_bytes_count_before_they_are_there() -> None:
    kept = Sequences(Clock(), at_most_bytes=16)
    with kept.turn("m", SequenceStep(1, starts=True)) as one, kept.turn("m", SequenceStep(2, starts=True)) as two:
        one.given(kind())
        two.given(kind())
        with pytest.raises(RequestError, match="2 sequences are under way"):
            step(kept, SequenceStep(3, starts=True))
    assert len(kept) == 0


@pytest.mark.parametrize(
    ("old", "new", "goes_on"),
    [
        (kind("a", 1), kind("a", 1, carries=False), True),  # itself
        (kind("a", 1, carries=False), kind("b", 2, carries=True), True),
        (kind("a", 1, carries=True), kind("b", 2, carries=False), False),
        (kind("b", 2, carries=True), kind("a", 1, carries=False), True),  # rolled back
        (kind("b", 2, carries=False), kind("a", 1, carries=True), False),
        (kind("a", 1), kind("b", 1), True),  # another variant of one version
        (kind("a", 1), kind("b", 2, h=Tensor("h", "FP32", (3, 1, 64), batched=False)), False),
        (kind("a", 1), kind("b", 2, h=Tensor("h", "FP16", (2, 1, 64), batched=False)), False),
        (kind("a", 1), kind("b", 2, h=Tensor("c", "FP32", (2, 1, 64), batched=False)), False),
    ],
)
def test_a_sequence_goes_on_where_the_newer_version_says_so_and_the_states_are_alike(
    old: KeptState, new: KeptState, goes_on: bool
) -> None:
    kept = Sequences(Clock())
    step(kept, SequenceStep(1, starts=True), b"old", of=old)
    if goes_on:
        assert step(kept, SequenceStep(1), of=new) == b"old"
        return
    told = f"sequence 1 was ended by version {new.version} of the model, which does not take the state of version"
    with pytest.raises(SequenceEnded, match=told) as refused:
        step(kept, SequenceStep(1), of=new)
    assert refused.value.status == 409
    with pytest.raises(RequestError, match="not under way"):
        step(kept, SequenceStep(1), of=new)


def test_steps_at_once_are_asked_as_they_came_and_only_so_many_wait() -> None:
    kept, order, threads = Sequences(Clock()), [], []
    step(kept, SequenceStep(1, starts=True))

    def ask(number: int) -> None:
        with kept.turn("m", SequenceStep(1)):
            order.append(number)

    with kept.turn("m", SequenceStep(1)):
        for number in range(sequences.MOST_IN_LINE - 1):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            while len(kept._lines["m", 1]) < number + 2:
                time.sleep(0.001)
        with pytest.raises(RequestError, match="8 requests of sequence 1 wait already") as refused:
            ask(99)
        assert refused.value.status == 503
        assert step(kept, SequenceStep(2, starts=True)) == b""  # others go on
    for thread in threads:
        thread.join()
    assert order == list(range(sequences.MOST_IN_LINE - 1))
    assert not kept._lines


def test_a_step_waits_for_so_long_and_no_longer() -> None:
    kept = Sequences(Clock(), wait_s=0.05)
    step(kept, SequenceStep(1, starts=True), b"one")
    with kept.turn("m", SequenceStep(1)), pytest.raises(RequestError, match="busy"):
        step(kept, SequenceStep(1))
    assert step(kept, SequenceStep(1)) == b"one"
