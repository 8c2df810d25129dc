"""Counters as columns of `windows` and `rollups`: the one mapping that INSERT, SELECT, sums and roll-ups come from."""

from collections.abc import Mapping
from dataclasses import fields
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
    return _values(window, window.latency, window.named_moments(), window.predicted)


def of_sum(counters: Counters) -> tuple[Any, ...]:
    """The values of `COLUMNS` for a sum."""
    serving = counters.serving
    return _values(serving, serving.latency.told, counters.named_moments(), counters.categories)


def _values(
    counts: FlatCounters | ServingCounts,
    latency: str | None,
    moments: Mapping[str, Moments],
    categories: Mapping[str, int],
) -> tuple[Any, ...]:
    return (
        *_counts(counts),
        latency,
        _moments_text(moments) if moments else _NO_ENTRIES,
        to_json(categories).decode() if categories else _NO_ENTRIES,
    )


def _moments_text(moments: Mapping[str, Moments]) -> str:
    # By hand, for it is done for each window of a fleet: `to_json` takes five times as long over a type of ours.
    parts = [f'"{name}":{{"n":{one.n},"sum":{one.sum},"sum2":{one.sum2}}}' for name, one in moments.items()]
    return f"{{{','.join(parts)}}}"


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
