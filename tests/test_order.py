"""Which files of the suite begin first."""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.order import in_turn


class Item:
    """What the order looks at of a test."""

    def __init__(self, file: str, *marks: str, fixtures: tuple[str, ...] = ()) -> None:
        self.path, self.fixturenames, self._marks = Path(file), fixtures, marks

    def get_closest_marker(self, name: str) -> object:
        return name if name in self._marks else None


def ordered(*items: Item) -> list[str]:
    return [str(item.path) for item in in_turn(cast(list[pytest.Item], list(items)))]


def test_fleets_and_what_computes_take_turns_before_the_rest_and_many_tests_come_before_few() -> None:
    several: list[Any] = [Item("quick"), Item("fleet"), Item("big-fleet", "fleet"), Item("big-fleet")]
    several += [Item("torch", fixtures=("tmp_path", "needs_torch")), Item("fleet", "fleet"), Item("big-fleet")]
    several += [Item("train", "torch"), Item("train"), Item("train"), Item("last")]
    assert ordered(*several) == [
        *["big-fleet"] * 3,
        *["train"] * 3,
        *["fleet"] * 2,
        *("torch", "quick", "last"),
    ]


def test_tests_of_a_file_stay_together_and_in_order() -> None:
    items = [Item("a", "slow"), Item("b"), Item("a", "fleet"), Item("a")]
    assert in_turn(cast(list[pytest.Item], items)) == [items[0], items[2], items[3], items[1]]
