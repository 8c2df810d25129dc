"""Tasks are found by the name of their file."""

from pathlib import Path

import pytest

import edgefleet_tasks
from edgefleet_tasks.errors import UnknownTask
from edgefleet_tasks.registry import task_named, task_names


def test_every_file_of_a_task_holds_the_task_of_its_name() -> None:
    folder = Path(edgefleet_tasks.__file__).parent / "tasks"
    assert task_names() == tuple(sorted(path.stem for path in folder.glob("[a-z]*.py")))
    assert "classification" in task_names()
    assert all(task_named(name).name == name for name in task_names())


@pytest.mark.parametrize("name", ["", "detector", "../classification", "classification.TASK", "os", "x" * 10_000])
def test_any_other_name_is_refused_and_imports_nothing(name: str) -> None:
    with pytest.raises(UnknownTask, match="there is no task") as refused:
        task_named(name)
    assert len(str(refused.value)) < 200
