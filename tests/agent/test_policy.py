"""What may leave the device."""

import pytest

from edgefleet_agent.policy import KINDS, permitted
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.messages import TelemetryWindow

WINDOW = TelemetryWindow(
    incarnation="0" * 32,
    seq=1,
    first_kept_seq=1,
    model="pets",
    model_version=1,
    variant="0" * 64,
    generation=1,
    duration_ms=1000,
    requests=4,
    errors=1,
    not_finite=1,
    latency="x",
    labelled=2,
    correct=1,
    predicted={"cat": 3},
)


def test_everything_leaves_where_everything_may() -> None:
    assert permitted(WINDOW, frozenset({"counts", "aggregates", "labels"})) == WINDOW


def test_each_kind_is_withheld_alone() -> None:
    for kind, fields in KINDS.items():
        left = permitted(WINDOW, frozenset(KINDS) - {kind})
        assert left is not None
        for name in TelemetryWindow.model_fields:
            withheld = name in fields
            assert (getattr(left, name) != getattr(WINDOW, name)) == withheld, name


def test_a_window_with_nothing_left_to_tell_is_not_sent() -> None:
    assert permitted(WINDOW, frozenset()) is None
    empty = WINDOW.model_copy(update={"requests": 0, "errors": 0, "not_finite": 0})
    assert permitted(empty, frozenset({"counts"})) is None


@pytest.mark.parametrize("name", sorted(load_catalogue().region))
def test_every_region_lets_latency_and_accuracy_leave_as_aggregates(name: str) -> None:
    left = permitted(WINDOW, load_catalogue().region[name].may_leave)
    assert left is not None and (left.latency, left.labelled, left.correct) == ("x", 2, 1)
