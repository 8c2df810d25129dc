"""The package below everything stands on the standard library alone."""

import ast
import sys
from pathlib import Path

import edgefleet_process

FILES = sorted(Path(edgefleet_process.__file__).parent.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


def test_it_imports_nothing_but_the_standard_library() -> None:
    assert len(FILES) > 5
    foreign = {path.name: imported(path) - sys.stdlib_module_names - {"edgefleet_process"} for path in FILES}
    assert not {name: names for name, names in foreign.items() if names}
