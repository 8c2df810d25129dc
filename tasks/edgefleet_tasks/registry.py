"""Which tasks there are: one file each in `tasks`, loaded when it is first asked for, and those of plug-ins."""

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from edgefleet_tasks import tasks
from edgefleet_tasks.errors import UnknownTask
from edgefleet_tasks.task import Task

if TYPE_CHECKING:
    from edgefleet_tasks.plugins import PluginTasks


@cache
def own_names() -> tuple[str, ...]:
    """The names of the tasks of this package, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(tasks.__path__)))


def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted((*own_names(), *_plugins().tasks)))


@cache
def task_named(name: str) -> Task[Any]:
    """The task of this name.

    Raises:
        UnknownTask: there is none, or the plug-in that brings it cannot be used; with what is wrong.
    """
    if name in own_names():
        task: Task[Any] = importlib.import_module(f"{tasks.__name__}.{name}").TASK
        return task
    plugins = _plugins()
    if name in plugins.tasks:
        return plugins.tasks[name]
    refused = [str(one) for one in plugins.refused if one.name == name]
    raise UnknownTask("; ".join(refused) or f"there is no task '{name[:60]}': {', '.join(task_names())}")


def _plugins() -> "PluginTasks":
    # Looking for what is installed takes longer than all else here, and a worker with a task of ours needs none.
    from edgefleet_tasks.plugins import installed_tasks

    return installed_tasks(own_names())
