"""The order of the suite's files, of which several processes take the next one each."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import pytest


def in_turn(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Files that take long before all others, those with many tests first: none shall be left alone at the end.

    Fleets, which mostly wait, take turns with what computes with torch: else processors idle at first, and all
    processes want them later.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    fleets = [file for file in files.values() if any(map(_is_a_fleet, file))]
    others = [file for file in files.values() if file not in fleets]
    computing = [file for file in others if any(map(_needs_torch, file))]
    rest = [file for file in others if file not in computing]
    return list(chain.from_iterable((*_alternating(_longest(fleets), _longest(computing)), *rest)))


def _longest(files: Iterable[list[pytest.Item]]) -> list[list[pytest.Item]]:
    return sorted(files, key=len, reverse=True)


def _alternating(
    first: Sequence[list[pytest.Item]], second: Sequence[list[pytest.Item]]
) -> Iterator[list[pytest.Item]]:
    return (file for pair in zip_longest(first, second) for file in pair if file is not None)


def _is_a_fleet(item: pytest.Item) -> bool:
    return item.get_closest_marker("fleet") is not None


def _needs_torch(item: pytest.Item) -> bool:
    return item.get_closest_marker("torch") is not None or "needs_torch" in getattr(item, "fixturenames", ())
