"""Which tasks there are: one file each in `tasks`, loaded when it is first asked for."""

import importlib
import pkgutil
from functools import cache

from edgefleet_tasks import tasks
from edgefleet_tasks.errors import UnknownTask
from edgefleet_tasks.task import Task


@cache
def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(tasks.__path__)))


@cache
def task_named(name: str) -> Task:
    """The task of this name.

    Raises:
        UnknownTask: there is none.
    """
    if name not in task_names():
        raise UnknownTask(f"there is no task '{name[:60]}': {', '.join(task_names())}")
    task: Task = importlib.import_module(f"{tasks.__name__}.{name}").TASK
    return task
