"""Short forms of ids: the ends, since ids made in one hour begin alike."""

import random
import uuid

import pytest

from edgefleet_controller.ids import new_id
from edgefleet_operator.cli.calling import one
from edgefleet_operator.errors import Invalid, NotFound
from edgefleet_operator.short_ids import is_short_for, short_ids, with_short_ids

A = "019ad1c2-0000-7aaa-8bbb-ccccdddd1234"
B = "019ad1c2-0000-7aaa-8bbb-ccccdddd5678"
OTHER = "019bffff-0000-7aaa-8bbb-ccccdddd5678"
TWIN = "019ad1c2-9999-7aaa-8bbb-eeeedddd1234"


class Listing:
    """As the client lists things with ids."""

    def __init__(self, *ids: str) -> None:
        self._things = [type("Thing", (), {"id": one})() for one in ids]

    def get(self, name: str):
        found = [thing for thing in self._things if thing.id == name]
        if not found:
            raise NotFound(f"no rollout {name}")
        return found[0]

    def all(self):
        return iter(self._things)


def test_ids_made_together_have_short_forms_of_their_own() -> None:
    made = [new_id() for _ in range(500)]
    shown = short_ids(made)
    assert len(set(shown.values())) == 500
    assert all(one.endswith(short) and 8 <= len(short) <= 12 for one, short in shown.items())
    assert {len(short) for short in shown.values()} == {len(shown[made[0]])}


def test_ids_that_end_alike_are_shown_as_far_as_they_differ() -> None:
    assert short_ids([A, B]) == {A: "dddd1234", B: "dddd5678"}
    assert short_ids([A, TWIN]) == {A: "cdddd1234", TWIN: "edddd1234"}
    assert short_ids([A]) == {A: "dddd1234"}
    assert short_ids([]) == {}
    assert short_ids(["op-failed", A]) == {"op-failed": "op-failed", A: A}


@pytest.mark.parametrize("given", [A, A[:30], A[-8:], A[-8:].upper(), A[-4:]])
def test_the_start_and_the_end_of_an_id_name_it(given: str) -> None:
    assert one(Listing(A, OTHER), given).id == A


@pytest.mark.parametrize("given", ["f511", "F5114", "f51149a"])
def test_the_beginning_of_what_is_shown_names_it_too(given: str) -> None:
    wanted, other = "019ad1c2-0000-7aaa-8bbb-ccccf51149a1", "019ad1c2-0000-7aaa-8bbb-ccccdddd1234"
    assert with_short_ids(wanted).startswith(given.lower())
    assert one(Listing(wanted, other), given).id == wanted


def test_the_beginning_of_what_is_shown_at_greater_length_names_it_too() -> None:
    assert short_ids([A, TWIN])[A] == "cdddd1234"
    assert one(Listing(A, TWIN), "cddd").id == A
    with pytest.raises(Invalid, match="'dddd' could be cdddd1234, edddd1234"):
        one(Listing(A, TWIN), "dddd")


def test_a_beginning_that_ends_another_id_is_refused() -> None:
    ends = "019ad1c2-0000-7aaa-8bbb-ccccaaaaf511"
    begins = "019ad1c2-0000-7aaa-8bbb-ccccf51149a1"
    with pytest.raises(Invalid, match="'f511' could be aaaaf511, f51149a1: give one of these"):
        one(Listing(ends, begins), "f511")


@pytest.mark.parametrize("given", ["234", "4", "zzzz", "dddd1235", "0", "019"])
def test_less_than_four_characters_and_other_ends_name_nothing(given: str) -> None:
    assert not is_short_for(given, A)
    with pytest.raises(NotFound, match=given):
        one(Listing(A), given)


def test_an_ambiguous_one_is_refused_with_what_would_tell_them_apart() -> None:
    with pytest.raises(Invalid, match="'019ad1c2' could be dddd1234, dddd5678: give one of these"):
        one(Listing(A, B), "019ad1c2")
    with pytest.raises(Invalid, match="'dddd1234' could be cdddd1234, edddd1234: give one of these"):
        one(Listing(A, B, TWIN), "dddd1234")
    many = [f"019ad1c2-0000-7aaa-8bbb-cccc0000{n:04x}" for n in range(8)]
    with pytest.raises(Invalid, match="00000004 or 3 more: give one of these"):
        one(Listing(*many), "019ad1c2")


def test_every_id_in_a_text_is_shortened_and_nothing_else_is() -> None:
    assert with_short_ids(f"part of rollout {A}, `edgefleet rollout show {B}`") == (
        "part of rollout dddd1234, `edgefleet rollout show dddd5678`"
    )
    random_id = str(uuid.UUID(int=random.Random(1).getrandbits(128), version=4))
    for text in (random_id, "a" * 64, f"x{A}", "no id"):
        assert with_short_ids(text) == text
