"""Counters as columns of `windows` and `rollups`: the one mapping that INSERT, SELECT, sums and roll-ups come from."""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from edgefleet_protocol.counters import COUNTS, MOMENTS, Counters, FlatCounters, Moments, ServingCounts, readable

_NOTHING: dict[str, str] = {"latency": "NULL", "moments": "'{}'", "categories": "'{}'"}
"""The columns beside those of `COUNTS`, and what each holds where nothing was counted, in SQL."""
COLUMNS = (*COUNTS, *_NOTHING)
"""A column of a count is named as the count is, in a sum as in a window."""

_counts, _count_columns = attrgetter(*COUNTS), itemgetter(*COUNTS)
_NO_ENTRIES = "{}"


def of_window(window: FlatCounters) -> tuple[Any, ...]:
    """The values of `COLUMNS` for a window, which is as flat as they are: nothing is unpacked on the way."""
    if window.moments is None:
        moments = _moments_of_labels(window.labelled, window.correct)
    else:
        moments = _json(window.named_moments())
    return (*_counts(window), window.latency, moments, _json(window.predicted))


def of_sum(counters: Counters) -> tuple[Any, ...]:
    """The values of `COLUMNS` for a sum."""
    serving = counters.serving
    return (
        *_counts(serving),
        serving.latency.told,
        _json(counters.named_moments()),
        _json(counters.categories),
    )


@lru_cache(4096)
def _moments_of_labels(labelled: int, correct: int) -> str:
    """Windows of a minute have few labels: the same texts are wanted thousands of times a second."""
    return _json(FlatCounters(labelled=labelled, correct=correct).named_moments())


def _json(entries: Mapping[str, Any]) -> str:
    return to_json(entries).decode() if entries else _NO_ENTRIES


class ByColumn(Protocol):
    """A row whose values are found by the names of their columns."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""


def from_row(row: ByColumn, *, latency: bool = True) -> Counters:
    """What `COLUMNS` of a row say; a histogram costs more to read than all the rest."""
    counters = Counters(ServingCounts(readable(row["latency"] if latency else None), *_count_columns(row)))
    if row["moments"] != _NO_ENTRIES:
        for name, parts in from_json(row["moments"]).items():
            if name in MOMENTS:
                setattr(counters, name, Moments(**parts))
    if row["categories"] != _NO_ENTRIES:
        counters.categories = from_json(row["categories"])
    return counters


def selected(*, without: tuple[str, ...] = ()) -> str:
    """`COLUMNS` for a SELECT, some of them as if nothing was counted: they cost the most to read."""
    return ", ".join(f"{_NOTHING[name]} AS {name}" if name in without else name for name in COLUMNS)


def summed() -> str:
    """`COLUMNS` for a SELECT that sums a group: counts and moments, no histogram and no categories."""
    counts = [f"sum({name}) AS {name}" for name in COUNTS]
    moments = f"json_object({', '.join(map(_summed_moments, MOMENTS))}) AS moments"
    return ", ".join([*counts, "NULL AS latency", moments, "'{}' AS categories"])


def _summed_moments(name: str) -> str:
    # Millionths of a fleet and years pass 63 bits, where sum() fails: total() is exact up to 2**53, and near beyond.
    parts = [
        f"'{part.name}', json(printf('%.0f', total(moments ->> '$.{name}.{part.name}')))" for part in fields(Moments)
    ]
    return f"'{name}', json_object({', '.join(parts)})"
