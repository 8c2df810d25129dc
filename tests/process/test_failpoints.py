"""The lists of failpoints are closed: each name is one place in the code, and each place has a name in the list."""

import ast
import importlib
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgefleet_process.errors import NoSuchFailpoint

PACKAGES = ["edgefleet_agent", "edgefleet_controller"]


def points_reached(package: str) -> Counter[str]:
    """The names with which a package calls `reach`."""
    found: Counter[str] = Counter()
    for path in Path(str(importlib.import_module(package).__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach":
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}: a failpoint is named in full"
                found[str(name.value)] += 1
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_failpoint_is_one_place_in_the_code(package: str) -> None:
    points = importlib.import_module(f"{package}.failpoints").POINTS
    assert points_reached(package) == dict.fromkeys(points, 1)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("text", ["no_such_point", "no_such_point/detail", "{known}:often"])
def test_an_unknown_failpoint_is_refused(package: str, text: str) -> None:
    failpoints = importlib.import_module(f"{package}.failpoints")
    with pytest.raises(NoSuchFailpoint, match="write NAME"):
        failpoints.arm(text.format(known=failpoints.POINTS[0]))


def passes_until_the_kill(text: str) -> int:
    """How many passes a process that is armed with this survives; it takes `saved` for one phase, then for another."""
    code = (
        "import sys; from edgefleet_process.failpoints import Failpoints\n"
        "points = Failpoints(('saving', 'saved')); points.arm(sys.argv[1])\n"
        "for phase in ('first', 'second') * 3: points.reach('saved', phase); print('.', end='', flush=True)"
    )
    ended = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=False)
    assert ended.returncode == (-signal.SIGKILL if len(ended.stdout) < 6 else 0), ended.stderr
    return len(ended.stdout)


@pytest.mark.parametrize(
    ("text", "survived"),
    [("", 6), ("saving", 6), ("saved", 0), ("saved:3", 2), ("saved/second", 1), ("saved/second:2", 3), ("saved/x", 6)],
)
def test_an_armed_process_ends_at_that_pass_of_that_step(text: str, survived: int) -> None:
    assert passes_until_the_kill(text) == survived
