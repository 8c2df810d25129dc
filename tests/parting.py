"""What is for every change, and what for the whole suite alone: the marker `slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], one_in: int) -> list[Any]:
    """Of so many values of a parameter, or tuples of several, one is for every change, and all for the whole suite."""
    return [_param(value, () if n % one_in == 0 else pytest.mark.slow) for n, value in enumerate(values)]


def _param(value: Any, marks: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marks)
