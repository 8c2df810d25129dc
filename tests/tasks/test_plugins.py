"""Tasks that plug-ins bring: found by entry point, held to the interface, and named where they fail."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.compression.plugins import unpack, wheel, wheel_of
from tests.tasks.worlds import classification

from edgefleet_protocol.spec import Spec
from edgefleet_tasks.errors import PluginFails
from edgefleet_tasks.plugins import GROUP, METHODS, PluginTasks, tasks_of
from edgefleet_tasks.registry import own_names

RATINGS = Path(__file__).parent / "plugin"
GOOD = """
from edgefleet_tasks.tasks.classification import Classification
class Mine(Classification):
    name = "{name}"
    {body}
TASK = Mine()
"""
Installed = Callable[..., PluginTasks]


def minimal(name: str, body: str = "pass") -> str:
    return GOOD.format(name=name, body=body)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Install distributions, each (name, tasks, modules), and find what tasks they bring."""
    target = tmp_path / "site"
    monkeypatch.syspath_prepend(target)

    def found(*packages: tuple[str, dict[str, str], dict[str, str]]) -> PluginTasks:
        for name, entries, modules in packages:
            unpack(wheel(tmp_path, name, "1.0", entries, modules, GROUP), target)
        there = importlib.metadata.distributions(path=[str(target)])
        return tasks_of([e for one in there for e in one.entry_points.select(group=GROUP)], own_names())

    return found


def test_the_example_is_installed_and_does_what_a_task_does(tmp_path: Path) -> None:
    unpack(wheel_of(RATINGS, tmp_path, GROUP), tmp_path / "site")
    code = """
import json, numpy as np
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.registry import task_named, task_names
task, spec = task_named("rating"), Spec(width=5)
answers = task.reduce([np.eye(5)[[0, 3]]], spec)
labels = [task.label(raw, spec) for raw in (0, 4)]
scores = [task.score(a, label, spec) for a, label in zip(answers, labels)]
print(json.dumps([task_names(), scores, task.agree(*answers, spec), task.headline(answers, labels, spec).value]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True
    )
    names, scores, agreement, off = json.loads(done.stdout or "0, " + done.stderr)
    assert names == sorted({*own_names(), "rating"})
    assert (scores, agreement, off) == ([1.0, 0.75], 0.25, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "text", "reason"),
    [
        ("t_a", "t_a", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("t_b", "t_b", "raise SystemExit(3)", "t_b cannot be imported"),
        ("t_c", "t_c", "x = 1", "t_c is no module with a TASK"),
        ("t_d", "t_d", minimal("another"), "names its task 'another' and is found as 't_d': use one name"),
        ("t_e", "t_missing", "", "No module named 't_missing'"),
        ("t_f", "t_f", minimal("t_f", "reduce = None"), "t_f lacks reduce: add what every task has"),
        ("t_g", "t_g", minimal("t_g", "measure = 'accuracy'"), "has a 'measure' that is no Measure"),
        ("t_h", "t_h", minimal("t_h", "loss = None"), "has a 'loss' that is no str"),
        ("t_i", "t_i", "def __getattr__(name): raise ImportError('lazily')", "cannot be used (ImportError: lazily)"),
        ("detection", "t_j", minimal("detection"), "edgefleet has a task of that name: rename the plug-in's"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_in_one_line_and_takes_nothing_down(
    name: str, value: str, text: str, reason: str, installed: Installed
) -> None:
    bad = ("task-bad", {name: value}, {value: text} if text else {})
    good = ("task-fine", {"t_fine": "t_fine"}, {"t_fine": minimal("t_fine")})
    found = installed(bad, good)
    assert list(found.tasks) == ["t_fine"]
    (refused,) = found.refused
    assert str(refused).startswith(f"task '{name}' of plug-in task-bad 1.0 is refused: ") and reason in str(refused)
    assert "\n" not in str(refused)


def test_of_two_plugins_with_one_name_neither_is_taken(installed: Installed) -> None:
    found = installed(*((f"task-{n}", {"t_twin": f"t_twin_{n}"}, {f"t_twin_{n}": minimal("t_twin")}) for n in "ab"))
    assert not found.tasks
    assert [str(one) for one in found.refused] == [
        f"task 't_twin' of plug-in task-{a} 1.0 is refused: task-{b} 1.0 brings a task of that name too: "
        "uninstall one of them"
        for a, b in ("ab", "ba")
    ]


def test_an_unknown_task_is_told_what_is_wrong_with_the_plugin_that_brings_it(tmp_path: Path) -> None:
    unpack(
        wheel(tmp_path, "task-bad", "1.0", {"t_broken": "t_broken"}, {"t_broken": "1 / 0"}, GROUP), tmp_path / "site"
    )
    code = """
from edgefleet_tasks.registry import task_named
for name in ("classification", "t_broken", "t_none"):
    try:
        print(task_named(name).name)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True
    )
    ours, broken, none = done.stdout.splitlines()
    assert ours == "classification"
    assert broken.startswith("task 't_broken' of plug-in task-bad 1.0 is refused") and "ZeroDivisionError" in broken
    assert none == f"there is no task 't_none': {', '.join(own_names())}"
    assert done.stderr.count("task 't_broken'") == 1


USES: dict[str, Callable[[Any], Any]] = {
    "fits": lambda task: task.fits(classification().signature, Spec()),
    "spec": lambda task: task.spec(classification().signature, [[np.eye(3)]]),
    "label": lambda task: task.label(1, Spec()),
    "reduce": lambda task: task.reduce([np.eye(3)], Spec()),
    "score": lambda task: task.score(b"", 1, Spec()),
    "agree": lambda task: task.agree(b"", b"", Spec()),
    "category": lambda task: task.category(b"", Spec()),
    "category_name": lambda task: task.category_name(1, Spec()),
    "stratum": lambda task: task.stratum(b"", Spec()),
    "headline": lambda task: task.headline([], [], Spec()),
    "compare": lambda task: task.compare([], [], Spec()),
}


def test_every_method_of_a_task_is_guarded() -> None:
    assert USES.keys() == set(METHODS)


@pytest.mark.parametrize("method", USES)
def test_a_plugin_that_fails_is_named_in_one_line(method: str, installed: Installed) -> None:
    name = f"t_fails_{method}"
    body = f"def {method}(self, *given): return {{}}['no\\n such']"
    task = installed(("task-fails", {name: name}, {name: minimal(name, body)})).tasks[name]
    with pytest.raises(PluginFails) as failed:
        USES[method](task)
    assert str(failed.value).startswith(f"task '{name}' of plug-in task-fails 1.0 fails in {method} (KeyError: ")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("method", "returned"),
    [
        ("fits", "'no'"), ("spec", "None"), ("reduce", "None"), ("reduce", "['text']"), ("reduce", "[b'x' * 5000] * 3"),
        ("reduce", "[b'x'] * 2"),
        ("score", "1.5"), ("score", "float('nan')"), ("score", "None"), ("agree", "-0.1"), ("category", "256"),
        ("category", "0.5"), ("category_name", "''"), ("category_name", "7"), ("stratum", "8"),
        ("headline", "0.5"), ("compare", "1"),
    ],
)  # fmt: skip
def test_what_no_task_may_return_is_a_failure_of_the_plugin(method: str, returned: str, installed: Installed) -> None:
    name = f"t_returns_{method}_{abs(hash(returned))}"
    body = f"def {method}(self, *given): return {returned}"
    task = installed(("task-odd", {name: name}, {name: minimal(name, body)})).tasks[name]
    with pytest.raises(PluginFails, match=f"of plug-in task-odd 1.0 returns .* from {method}: it must be "):
        USES[method](task)


def test_what_a_plugin_refuses_is_no_failure_of_its_own(installed: Installed) -> None:
    body = "def label(self, *given): raise ValueError('a label is a colour')"
    task = installed(("task-says", {"t_says": "t_says"}, {"t_says": minimal("t_says", body)})).tasks["t_says"]
    with pytest.raises(ValueError, match="a label is a colour") as refused:
        task.label(1, Spec())
    assert not isinstance(refused.value, PluginFails)
