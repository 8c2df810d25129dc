"""What may leave the device: what is declared and permitted, and nothing else."""

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel

from edgefleet_agent.policy import declared, permitted
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.errors import CatalogueError
from edgefleet_profiles.parts import DataKind
from edgefleet_protocol.counters import NamedMoments
from edgefleet_protocol.leaving import ALWAYS, LeavesAs
from edgefleet_protocol.messages import TelemetryWindow
from edgefleet_protocol.moments import Moments

KINDS = get_args(DataKind)
EVERYTHING = frozenset(KINDS)
SCORED = Moments(n=9, sum=7_500_000, sum2=7_000_000)
FIELDS: dict[str, Any] = {
    "schema_version": 2,
    "incarnation": "1" * 32,
    "seq": 3,
    "first_kept_seq": 2,
    "model": "pets",
    "model_version": 5,
    "variant": "a" * 64,
    "generation": 7,
    "duration_ms": 1000,
    "started_ms": 99,
    "clock_trusted": True,
    "requests": 11,
    "errors": 1,
    "not_finite": 6,
    "latency": "x",
    "labelled": 9,
    "correct": 8,
    "refused_labels": 10,
    "labels_checked": True,
    "predicted": {"cat": 3},
    "moments": NamedMoments(scored=SCORED),
}
WINDOW = TelemetryWindow(**FIELDS)


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_of(inner)


def leaves(kind: type[BaseModel], where: tuple[str, ...] = ()) -> dict[tuple[str, ...], LeavesAs | None]:
    """Every field that holds a value, at any depth, and what it is declared as."""
    found: dict[tuple[str, ...], LeavesAs | None] = {}
    for name, field in kind.model_fields.items():
        parts = list(parts_of(field.annotation))
        if not parts or declared(field):
            found[*where, name] = declared(field)
        for part in parts:
            found |= leaves(part, (*where, name))
    return found


def told(window: BaseModel, path: tuple[str, ...]) -> Any:
    """What a window says at a path; None where it says nothing or what it says when nothing was counted."""
    for name in path:
        field = type(window).model_fields[name]
        value = getattr(window, name)
        if value is None or value == field.get_default(call_default_factory=True):
            return None
        window = value
    return window


LEAVES = leaves(TelemetryWindow)


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_field_of_a_window_is_declared_and_in_the_window_of_these_tests(path: tuple[str, ...]) -> None:
    mark = LEAVES[path]
    assert mark is not None, f"declare {'.'.join(path)} with LeavesAs: until then it never leaves a device"
    assert mark == ALWAYS or mark.kind in KINDS
    assert told(WINDOW, path) is not None


@pytest.mark.parametrize("count", range(1, len(KINDS) + 1))
def test_what_is_of_a_kind_that_may_leave_is_told_and_nothing_else(count: int) -> None:
    for may_leave in combinations(KINDS, count):
        left = permitted(WINDOW, frozenset(may_leave))
        assert left is not None
        for path, mark in LEAVES.items():
            assert mark is not None
            through = mark == ALWAYS or mark.kind in may_leave
            assert told(left, path) == (told(WINDOW, path) if through else None), path


def test_everything_leaves_where_everything_may() -> None:
    assert permitted(WINDOW, EVERYTHING) == WINDOW


def test_a_window_with_nothing_left_to_tell_is_not_sent() -> None:
    assert permitted(WINDOW, frozenset()) is None
    empty = WINDOW.model_copy(update={"requests": 0, "errors": 0, "not_finite": 0, "refused_labels": 0})
    assert permitted(empty, frozenset({"counts"})) is None


class NewerMoments(NamedMoments):
    asked_by: str = "nobody"


class NewerWindow(TelemetryWindow):
    owner: str = ""
    speech: Annotated[str, LeavesAs("recordings")] = ""  # a kind of a newer version
    moments: NewerMoments | None = None


def test_a_field_that_is_not_declared_never_leaves() -> None:
    newer = NewerWindow(**{**FIELDS, "moments": NewerMoments(scored=SCORED, asked_by="Ada"), "owner": "Ada"})
    left = permitted(newer, EVERYTHING)
    assert isinstance(left, NewerWindow)
    assert left.owner == ""
    assert left.moments == NewerMoments(scored=SCORED)
    assert "Ada" not in left.model_dump_json()


class Speech(BaseModel):
    seconds: Annotated[int, LeavesAs("counts")] = 0
    sent: Annotated[int, ALWAYS] = 0


class WindowWithSpeech(TelemetryWindow):
    speech: Annotated[Speech | None, LeavesAs("labels")] = None


@pytest.mark.parametrize("may_leave", [{"counts"}, {"counts", "labels"}])
def test_a_part_that_is_declared_leaves_or_stays_as_a_whole(may_leave: set[str]) -> None:
    speech = Speech(seconds=3, sent=1)
    left = permitted(WindowWithSpeech(**FIELDS, speech=speech), may_leave)
    assert isinstance(left, WindowWithSpeech)
    assert left.speech == (speech if "labels" in may_leave else None)


def test_a_kind_that_is_not_known_lets_nothing_through() -> None:
    assert permitted(WINDOW, frozenset({"counts", "recordings"})) == permitted(WINDOW, frozenset({"counts"}))
    newer = NewerWindow(**{**FIELDS, "moments": None}, speech="hello")
    left = permitted(newer, EVERYTHING)
    assert isinstance(left, NewerWindow) and left.speech == ""


def test_a_catalogue_with_a_kind_that_is_not_known_is_refused(tmp_path) -> None:
    (tmp_path / "region").mkdir()
    shipped = load_catalogue().region["eu"]
    lines = [f'{key} = "{getattr(shipped, key)}"' for key in ("title", "timezone")]
    lines += ["usd_per_kwh = 1", "g_co2_per_kwh = 1", 'may_leave = ["counts", "recordings"]', "[sources]"]
    lines += [f'{figure} = "estimate: a test"' for figure in ("usd_per_kwh", "g_co2_per_kwh")]
    (tmp_path / "region" / "eu.toml").write_text("\n".join(lines))
    with pytest.raises(CatalogueError, match="may_leave"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize("name", sorted(load_catalogue().region))
def test_every_region_lets_latency_and_accuracy_leave_as_aggregates(name: str) -> None:
    left = permitted(WINDOW, load_catalogue().region[name].may_leave)
    assert left is not None and (left.latency, left.labelled, left.correct) == ("x", 9, 8)
    assert left.moments == WINDOW.moments
    assert left.predicted == ({} if name in ("eu", "sa") else {"cat": 3})
