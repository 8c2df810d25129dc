"""No public class name means two things: whoever reads `Bus` or `Want` in another package knows what it is."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [*sorted(ROOT.glob("*/edgefleet_*")), ROOT / "benchmarks", ROOT / "distribution"]
SAME_ON_BOTH_SIDES = {
    "Bus": "a process's one connection to the broker, on the device and in the controller",
    "Settings": "what the operator decides for a process",
    "NotFound": "an answer of REST: the controller gives it, the client raises it",
    "Invalid": "an answer of REST, as NotFound",
}


def public_classes(folder: Path) -> dict[str, list[str]]:
    """The public classes of a folder's modules, by name: where each is defined."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(ROOT)))
    return found


@pytest.fixture(scope="module")
def defined() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for name, places in public_classes(folder).items():
            found[name] += places
    return found


def test_every_package_is_looked_at(defined: dict[str, list[str]]) -> None:
    looked_at = {place.split("/")[0] for places in defined.values() for place in places}
    assert {"agent", "benchmarks", "compression", "controller", "process", "profiles", "protocol"} <= looked_at


def test_no_public_class_name_is_defined_twice(defined: dict[str, list[str]]) -> None:
    twice = {name: places for name, places in defined.items() if len(places) > 1 and name not in SAME_ON_BOTH_SIDES}
    assert not twice, "give one of each pair a name that says which it is"


def test_every_exception_is_still_one(defined: dict[str, list[str]]) -> None:
    assert [name for name in SAME_ON_BOTH_SIDES if len(defined[name]) < 2] == []


def test_no_file_of_code_is_longer_than_400_lines() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in listed.stdout.split()}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 400} == {}
