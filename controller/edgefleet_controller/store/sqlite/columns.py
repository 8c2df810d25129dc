"""Counters as columns of `windows` and `rollups`: the one mapping for INSERT, SELECT, sums and roll-ups."""

from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from edgefleet_protocol.counters import COUNTS, MOMENTS, Counters, FlatCounters, ServingCounts, readable
from edgefleet_protocol.moments import Moments

_NOTHING: dict[str, str] = {"latency": "NULL", "moments": "'{}'", "categories": "'{}'"}
"""The columns besides those of `COUNTS`, and the SQL for their values if nothing was counted."""
COLUMNS = (*COUNTS, *_NOTHING)
"""The column of a count has the count's name, in sums as in windows."""

_counts, _count_columns = attrgetter(*COUNTS), itemgetter(*COUNTS)
_NO_ENTRIES = "{}"


def of_window(window: FlatCounters) -> tuple[Any, ...]:
    """The values of `COLUMNS` for a window; both are flat, so nothing is unpacked on the way."""
    if window.moments is None:
        moments = _moments_of_labels(window.labelled, window.correct, window.labels_checked)
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
def _moments_of_labels(labelled: int, correct: int, checked: bool) -> str:
    """Cached, because windows have few labels and the same texts are needed thousands of times a second."""
    counters = FlatCounters(labelled=labelled, correct=correct, labels_checked=checked)
    return _json(counters.named_moments())


def _json(entries: Mapping[str, Any]) -> str:
    return to_json(entries).decode() if entries else _NO_ENTRIES


class ByColumn(Protocol):
    """A row whose values are accessed by column name."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""


def from_row(row: ByColumn, *, latency: bool = True) -> Counters:
    """The counters in the `COLUMNS` of a row; decoding the histogram costs more than all the rest."""
    counters = Counters(ServingCounts(readable(row["latency"] if latency else None), *_count_columns(row)))
    if row["moments"] != _NO_ENTRIES:
        for name, parts in from_json(row["moments"]).items():
            if name in MOMENTS:
                setattr(counters, name, Moments(**parts))
    if row["categories"] != _NO_ENTRIES:
        counters.categories = from_json(row["categories"])
    return counters


def selected(*, without: tuple[str, ...] = ()) -> str:
    """`COLUMNS` for a SELECT, with costly ones left out as if nothing was counted."""
    return ", ".join(f"{_NOTHING[name]} AS {name}" if name in without else name for name in COLUMNS)
