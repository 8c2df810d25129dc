"""A state folder that was copied or restored from an older image is another life of its device."""

from pathlib import Path
from typing import get_args

import pytest

from edgefleet_agent.identity import begin_anew, is_copy, wake
from edgefleet_agent.spool import Spool
from edgefleet_profiles.parts import DataKind
from edgefleet_protocol.messages import Acked, TelemetryWindow


def window(requests: int) -> TelemetryWindow:
    return TelemetryWindow(
        **{"incarnation": "0" * 32, "seq": 1, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
        **{"variant": "a" * 64, "generation": 1, "duration_ms": 1, "requests": requests},
    )


@pytest.mark.parametrize(
    ("known", "ours", "copied"),
    [
        ((3, 10), (3, 10), False),
        ((3, 9), (3, 10), False),  # a message that was late
        ((3, 11), (3, 10), True),
        ((4, 1), (3, 10), True),
        ((2, 500), (3, 1), False),
    ],
)
def test_only_who_has_never_said_so_much_is_a_copy(
    tmp_path: Path, known: tuple[int, int], ours: tuple[int, int], copied: bool
) -> None:
    for _ in range(ours[0]):
        identity = wake(tmp_path)
    acked = Acked(incarnation=identity.incarnation, through=0, boot=known[0], report=known[1])
    assert is_copy(identity, ours[1], acked) is copied
    assert not is_copy(identity, ours[1], acked.model_copy(update={"incarnation": "f" * 32})), "another one's"
    assert not is_copy(identity, ours[1], Acked(incarnation=identity.incarnation, through=9)), "an acknowledgement"


def test_a_new_incarnation_is_still_there_after_a_restart(tmp_path: Path) -> None:
    old = wake(tmp_path)
    new = begin_anew(tmp_path)
    assert new.incarnation != old.incarnation
    assert new.boot == 1
    again = wake(tmp_path)
    assert (again.incarnation, again.boot) == (new.incarnation, 2)


def test_windows_of_the_image_count_as_stored_where_their_numbers_are_and_later_ones_follow_anew(
    tmp_path: Path,
) -> None:
    image = Spool(tmp_path, "a" * 32, get_args(DataKind))
    for requests in (1, 2, 3):
        image.add(window(requests))
    image.close()
    restored = Spool(tmp_path, "a" * 32, get_args(DataKind))
    restored.add(window(40))
    restored.add(window(50))
    restored.begin_anew("b" * 32, through=100)
    assert [(w.incarnation, w.requests) for w in restored.due(0)] == [("b" * 32, 40), ("b" * 32, 50)]
    restored.close()


def test_windows_of_the_image_that_are_not_stored_follow_too(tmp_path: Path) -> None:
    image = Spool(tmp_path, "a" * 32, get_args(DataKind))
    for requests in (1, 2, 3):
        image.add(window(requests))
    image.close()
    restored = Spool(tmp_path, "a" * 32, get_args(DataKind))
    restored.begin_anew("b" * 32, through=2)
    assert [(w.incarnation, w.requests) for w in restored.due(0)] == [("b" * 32, 3)]
    restored.close()


def test_an_acknowledgement_of_the_other_life_forgets_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a" * 32, get_args(DataKind))
    spool.add(window(1))
    spool.begin_anew("b" * 32, through=0)
    spool.acked("a" * 32, 1)
    assert len(spool) == 1
    spool.acked("b" * 32, 1)
    assert len(spool) == 0
    spool.close()
