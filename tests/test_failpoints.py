"""The lists of failpoints are closed: each name is one place in the code, and each place has a name in the list."""

import ast
import importlib
from collections import Counter
from pathlib import Path

import pytest

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
def test_a_failpoint_that_is_none_is_refused(package: str, text: str) -> None:
    failpoints = importlib.import_module(f"{package}.failpoints")
    errors = importlib.import_module(f"{package}.errors")
    root = errors.AgentError if package == "edgefleet_agent" else errors.ControllerError
    with pytest.raises(root, match="failpoint"):
        failpoints.arm(text.format(known=failpoints.POINTS[0]))
