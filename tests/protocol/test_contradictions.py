"""Windows that contradict themselves and values of another type are refused; what only looks odd is not."""

import json
from typing import Any

import pytest
from tests.released import last_release

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import ReportedState, TelemetryWindow, decode

WINDOW: dict[str, Any] = {
    **{"incarnation": "0" * 32, "seq": 7, "first_kept_seq": 3, "model": "pets", "model_version": 1},
    **{"variant": "0" * 64, "generation": 1, "duration_ms": 60_000},
}


def timed() -> str:
    latency = LatencyHistogram()
    latency.record(0.002)
    return latency.encode()


def read(**told: Any) -> TelemetryWindow:
    return decode(TelemetryWindow, json.dumps(WINDOW | told).encode())


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"requests": 3, "errors": 4}, r"errors and not_finite \(4\) exceed requests \(3\)"),
        ({"requests": 3, "errors": 2, "not_finite": 2}, r"errors and not_finite \(4\) exceed requests \(3\)"),
        ({"errors": 1}, r"exceed requests \(0\)"),
        ({"requests": 2, "errors": 2, "latency": timed()}, "no request was answered"),
        ({"requests": 2, "not_finite": 2, "predicted": {"cat": 1}}, "no request was answered"),
        ({"labelled": 2, "correct": 3}, r"correct \(3\) exceeds labelled \(2\)"),
        ({"labelled": 3, "correct": 1, "moments": {"scored": {"n": 4, "sum": 10, "sum2": 9}}}, "are not those of"),
        ({"labelled": 4, "correct": 3, "moments": {"scored": {"n": 4, "sum": 10, "sum2": 9}}}, "are not those of"),
        ({"labelled": 2, "correct": 1, "moments": {"scored": {"n": 2, "sum": 10**6, "sum2": 10}}}, "no set of scores"),
        ({"requests": -1}, "requests: "),
        ({"predicted": {"cat": -1}}, "predicted.cat: "),
        ({"duration_ms": -1}, "duration_ms: "),
        ({"seq": 2}, r"first_kept_seq \(3\) exceeds seq \(2\)"),
    ],
    ids=str,
)
def test_a_window_that_contradicts_itself_is_refused_and_says_how(told: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        read(**told)


@pytest.mark.parametrize(
    "told",
    [
        {"requests": 1, "labelled": 500, "correct": 400},
        {"labelled": 3, "correct": 3},
        {"requests": 1, "predicted": {"cat": 64}},
        {"latency": timed(), "predicted": {"cat": 1}},
        {"requests": 3, "errors": 3},
    ],
    ids=["late labels", "labels alone", "a batch", "a region that lets no counts leave", "nothing answered"],
)
def test_what_only_looks_odd_is_taken(told: dict[str, Any]) -> None:
    assert read(**told).model_dump(include=set(told)) == told


@pytest.mark.parametrize(
    "told",
    [
        *({"requests": wrong} for wrong in ("12", True, 12.0, None, [12])),
        *({"clock_trusted": wrong} for wrong in (1, 0, "true", "yes", None)),
        *({"labels_checked": wrong} for wrong in (1, "false")),
        *({"model": wrong} for wrong in (7, True, None)),
        {"predicted": {"cat": "3"}},
        {"started_ms": "1700000000000"},
        {"labelled": 1, "moments": {"scored": {"n": "1", "sum": 0, "sum2": 0}}},
        {"labelled": 1, "moments": {"scored": {"n": True, "sum": 0, "sum2": 0}}},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_never_taken_for_what_it_resembles(told: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        read(**told)


def report() -> dict[str, Any]:
    """A released report, with a slot on its disk: a part that a validator of ours has looked into."""
    told: dict[str, Any] = json.loads(last_release().message("ReportedState"))
    assert told["models"]["fashion"]["slots"] and told["models"]["fashion"]["attempt"]
    return told


def test_lists_are_read_where_a_validator_has_looked_before() -> None:
    told = report()
    read = decode(ReportedState, json.dumps(told).encode())
    written = json.loads(read.model_dump_json(exclude_unset=True))
    assert written["models"]["fashion"]["slots"] == told["models"]["fashion"]["slots"]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [(("generation",), "4"), (("attempt", "generation"), "4"), (("slots", 0, "generation"), True)],
    ids=str,
)
def test_and_what_is_in_them_is_as_strict(path: tuple[str | int, ...], wrong: object) -> None:
    told = report()
    part = told["models"]["fashion"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = wrong
    with pytest.raises(MalformedMessage, match="generation"):
        decode(ReportedState, json.dumps(told).encode())
