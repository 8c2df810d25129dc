"""The measures of tasks as shapes, for processes that show figures."""

from functools import cache
from typing import Any

from edgefleet_contract.measures import UNKNOWN, MeasureView
from edgefleet_tasks.errors import UnknownTask
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import Measure, Task


def measure_of(task: Task[Any]) -> MeasureView:
    """What the scores of a task are by."""
    return _view(task.measure, scored=task.scores_alone)


def headlined_by(task: Task[Any]) -> MeasureView:
    """What the headline figure of a task is."""
    return _view(task.headlined, scored=True)


@cache
def measure_named(task: str) -> MeasureView:
    """What the scores of a task are by; `UNKNOWN` if no such task is installed here."""
    try:
        return measure_of(task_named(task))
    except UnknownTask:
        return UNKNOWN


def _view(measure: Measure, *, scored: bool) -> MeasureView:
    return MeasureView(name=measure.name, unit=measure.unit, better=measure.better, scored=scored)
