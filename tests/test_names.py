"""No public name of a type means two things: whoever reads `Want` or `Verdict` in another package knows what it is."""

import ast
import inspect
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [*sorted(ROOT.glob("*/edgefleet_*")), ROOT / "benchmarks", ROOT / "distribution"]
SAME_ON_BOTH_SIDES = {
    "NotFound": "an answer of REST: the controller gives it, the client raises it",
    "Invalid": "an answer of REST, as NotFound",
}
OF_A_TYPE = re.compile(r"[A-Z]+[a-z]\w*")
VARIABLES = {"TypeVar", "ParamSpec", "TypeVarTuple"}
"""What these make stands for any type, and for another one at each use."""


def public_types(module: ast.Module) -> Iterator[str]:
    """The public classes that a module defines, and its aliases: `Event = Literal[...]`, `Tell = Callable[...]`."""
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) if not name.startswith("_"):
                yield name
            case ast.Assign(value=ast.Call(func=ast.Name(id=called))) if called in VARIABLES:
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if OF_A_TYPE.fullmatch(name):
                    yield name


@pytest.fixture(scope="module")
def defined() -> dict[str, list[str]]:
    """The public types of every package, by name: where each is defined."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            for name in public_types(ast.parse(path.read_text())):
                found[name].append(str(path.relative_to(ROOT)))
    return found


def test_classes_and_aliases_are_types_and_variables_constants_and_private_names_are_not() -> None:
    source = """
        class Named: ...
        class _Private: ...
        Event = Literal["begun", "ended"]
        JSONValue: TypeAlias = str | int
        By = StrEnum("By", ["variant"])
        T = TypeVar("T")
        Item = TypeVar("Item", bound=BaseModel)
        MOST_ROWS = 7
        _Hidden = Callable[[str], None]
        log = logging.getLogger(__name__)
    """
    assert list(public_types(ast.parse(inspect.cleandoc(source)))) == ["Named", "Event", "JSONValue", "By"]


def test_every_package_is_looked_at(defined: dict[str, list[str]]) -> None:
    looked_at = {place.split("/")[0] for places in defined.values() for place in places}
    packages = {
        "agent",
        "compression",
        "contract",
        "controller",
        "operator",
        "process",
        "profiles",
        "protocol",
        "tasks",
    }
    assert {*packages, "benchmarks", "distribution"} <= looked_at


def test_no_public_type_has_the_name_of_another(defined: dict[str, list[str]]) -> None:
    twice = {name: places for name, places in defined.items() if len(places) > 1 and name not in SAME_ON_BOTH_SIDES}
    assert not twice, "give one of each pair a name that says which it is"


def test_every_exception_is_still_one(defined: dict[str, list[str]]) -> None:
    assert [name for name in SAME_ON_BOTH_SIDES if len(defined[name]) < 2] == []


def test_no_file_of_code_is_longer_than_400_lines() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in listed.stdout.split()}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 400} == {}
