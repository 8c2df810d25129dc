"""Tasks that installed plug-ins bring: a distribution with entry points of the group `edgefleet.tasks`.

Each names a task and the module that holds it as `TASK`, as the files of our own do. One that cannot be used is set
aside with the reason; one that does what no task may do fails in one line that names it.
"""

import functools
import inspect
import logging
import multiprocessing
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from edgefleet_process.installed import Package, brought, package_of, said
from edgefleet_tasks.errors import TaskError
from edgefleet_tasks.guarding import GuardedTask
from edgefleet_tasks.task import Measure, Task

log = logging.getLogger(__name__)

GROUP = "edgefleet.tasks"
METHODS = tuple(name for name, _ in inspect.getmembers(Task, inspect.isfunction) if not name.startswith("_"))


@dataclass(frozen=True)
class RefusedTask:
    """A task that a plug-in brings and that cannot be used, with what is wrong and what to do."""

    name: str
    plugin: Package
    reason: str

    def __str__(self) -> str:
        return f"task '{self.name}' of plug-in {self.plugin} is refused: {self.reason}"


@dataclass(frozen=True)
class PluginTasks:
    """The tasks of plug-ins by name, and what was refused."""

    tasks: Mapping[str, Task[Any]]
    refused: tuple[RefusedTask, ...] = ()


@functools.cache
def installed_tasks(own: tuple[str, ...]) -> PluginTasks:
    """The tasks that plug-ins bring to this process beside our own, found once."""
    installed = brought(GROUP)
    found = tasks_of(installed.entries, own)
    if multiprocessing.parent_process() is None:  # workers need not say it again
        for wrong in (*installed.unreadable, *found.refused):
            log.warning("%s", wrong)
    return found


def tasks_of(entry_points: Iterable[EntryPoint], own: Collection[str]) -> PluginTasks:
    """The tasks of plug-ins; a name that is ours, or that two plug-ins use, is refused.

    Args:
        entry_points: those of the plug-ins, in any order.
        own: the names of our tasks.
    """
    entries = sorted(entry_points, key=lambda entry: (entry.name, str(package_of(entry))))
    uses = Counter(entry.name for entry in entries)
    found: dict[str, Task[Any]] = {}
    refused = []
    for entry in entries:
        plugin = package_of(entry)
        try:
            if entry.name in own:
                raise TaskError("edgefleet has a task of that name: rename the plug-in's")
            if uses[entry.name] > 1:
                others = [str(package_of(other)) for other in entries if other.name == entry.name and other != entry]
                raise TaskError(f"{', '.join(others)} brings a task of that name too: uninstall one of them")
            found[entry.name] = GuardedTask(_loaded(entry), f"task '{entry.name}' of plug-in {plugin}")
        except TaskError as error:
            refused.append(RefusedTask(entry.name, plugin, str(error)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a module may do when it is looked at
            reason = f"{entry.value} cannot be used ({said(error)}): repair or uninstall it"
            refused.append(RefusedTask(entry.name, plugin, reason))
    return PluginTasks(found, tuple(refused))


def _loaded(entry: EntryPoint) -> Task[Any]:
    """The task of a module, after a look at its parts.

    Raises:
        TaskError: something is missing, or not what it should be.
    """
    try:
        module = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TaskError(f"{entry.value} cannot be imported ({said(error)}): repair or uninstall it") from error
    task = getattr(module, "TASK", None)
    if task is None:
        raise TaskError(f"{entry.value} is no module with a TASK: name the module that holds it")
    if (name := getattr(task, "name", None)) != entry.name:
        raise TaskError(f"{entry.value} names its task {name!r:.60} and is found as '{entry.name}': use one name")
    if missing := [method for method in METHODS if not callable(getattr(task, method, None))]:
        raise TaskError(f"{entry.value} lacks {', '.join(missing)}: add what every task has")
    kinds = {"measure": Measure, "headlined": Measure, "loss": str, "scores_alone": bool}
    for part, kind in kinds.items():
        if not isinstance(getattr(task, part, None), kind):
            raise TaskError(f"{entry.value} has a '{part}' that is no {kind.__name__}: correct it")
    checked: Task[Any] = task
    return checked
