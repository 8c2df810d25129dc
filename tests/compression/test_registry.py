"""Steps are found by walking a folder and by asking what is installed; what cannot be used is named and set aside."""

import hashlib
import importlib.metadata
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.compression.plugins import GROUP, minimal, unpack, wheel

from edgefleet_compression import steps
from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes import recipe
from edgefleet_compression.registry import Registry, own_steps, with_plugins
from edgefleet_compression.search.space import space_of
from edgefleet_compression.step import EXPORT, FILE, MODULE, SOURCE, NotSearched, Searched, Step, StepConfig, Tail, step

OWN = {one.step.name: one for one in own_steps()}
Installed = Callable[..., Registry]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Install distributions, each (name, steps, modules), and find all steps there are then."""
    target = tmp_path / "site"
    monkeypatch.syspath_prepend(target)

    def found(*distributions: tuple[str, Mapping[str, str], Mapping[str, str]]) -> Registry:
        for name, entries, modules in distributions:
            unpack(wheel(tmp_path, name, "1.0", entries, modules), target)
        there = importlib.metadata.distributions(path=[str(target)])
        return with_plugins(OWN, [e for one in there for e in one.entry_points.select(group=GROUP)])

    return found


def test_every_file_of_the_folder_is_a_step_of_its_name() -> None:
    files = {path.stem for path in Path(steps.__file__).parent.glob("*.py")} - {"__init__"}
    assert OWN.keys() == files and len(files) >= 18
    assert all(one.plugin is None for one in OWN.values())


def test_a_plugins_step_stands_beside_ours(installed: Installed) -> None:
    found = installed(("reg-good", {"reg_good": "reg_good"}, {"reg_good": minimal("reg_good")}))
    assert found.steps.keys() == OWN.keys() | {"reg_good"} and not found.refused
    assert str(found.named("reg_good").plugin) == "reg-good 1.0"


@pytest.mark.parametrize(
    ("name", "value", "text", "reason"),
    [
        ("reg_a", "reg_a", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("reg_b", "reg_b", "raise SystemExit(3)", "reg_b cannot be imported"),
        ("reg_i", "reg_i", "class Skipped(BaseException): pass\nraise Skipped('not here')", "(Skipped: not here)"),
        (
            "reg_j",
            "reg_j",
            "def __getattr__(name): raise ImportError('lazily')",
            "reg_j cannot be used (ImportError: lazily",
        ),
        ("reg_c", "reg_c", "x = 1", "reg_c needs STEP"),
        ("reg_d", "reg_d", minimal("another"), "declares 'another' and is found as 'reg_d'"),
        ("reg_e", "reg_e:STEP", minimal("reg_e"), "reg_e:STEP is not a module"),
        ("reg_f", "reg_f", minimal("Reg F"), "a step's name is of a-z"),
        ("reg_g", "reg_missing", "", "No module named 'reg_missing'"),
        ("pack", "reg_h", minimal("pack"), "edgefleet has a step of that name"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_and_takes_nothing_down(
    name: str, value: str, text: str, reason: str, installed: Installed
) -> None:
    bad = ("reg-bad", {name: value}, {value.partition(":")[0]: text} if text else {})
    good = ("reg-fine", {"reg_fine": "reg_fine"}, {"reg_fine": minimal("reg_fine")})
    found = installed(bad, good)
    assert found.steps.keys() == OWN.keys() | {"reg_fine"}
    assert found.steps["pack"] is OWN["pack"]
    (refused,) = found.refused
    assert str(refused).startswith(f"step '{name}' of plug-in reg-bad 1.0 is refused: ") and reason in str(refused)


PARTS = """
from pydantic import field_validator
from edgefleet_compression.step import EXPORT, FILE, NotSearched, Searched, Step, StepConfig, Tail, Trunk, step
class Config(StepConfig):
    bits: int = 4
    @field_validator("bits")
    @classmethod
    def _whole(cls, bits): return bits // (bits - 3) * 0 + bits
parts = dict(name="{name}", config=Config, consumes=FILE, produces=None, technique=None,
             search=NotSearched("it is odd"))
STEP = Step(**parts | dict({part}))
def run(state, config, context): pass
"""


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("consumes='file'", "a wrong 'consumes'"),
        ("consumes=frozenset({'file'})", "a wrong 'consumes.0' (Input should be 'torch', 'brought', 'onnx'"),
        ("produces='banana'", "a wrong 'produces'"),
        ("technique=5", "a wrong 'technique'"),
        ("search=None", "a wrong 'search' "),
        ("revision='2'", "a wrong 'revision'"),
        ("libraries=frozenset({1})", "a wrong 'libraries.0'"),
        ("search=Searched(tails=(1,))", "tails.0'"),
        (
            "search=Searched(tails=(Tail('odd', 't', (EXPORT,), rank='high'),))",
            "tails.0.rank' (Input should be a valid",
        ),
        ("search=Searched(tails=(Tail('odd', 't', (EXPORT,), rank=float('nan')),))", "tails.0.rank'"),
        ("search=Searched(tails=(Tail('odd', 't', (5,)),))", "tails.0.steps.0'"),
        ("search=Searched(trunks=(Trunk('odd', None, (EXPORT,), 'pruned'),))", "trunks.0.title'"),
        ("search=Searched(tails=(Tail('odd', 't', (EXPORT, step(parts['name'], bits=3))),))", "(ZeroDivisionError"),
        ("search=Searched(tails=(Tail('odd', 't', (EXPORT, step(parts['name'], bits='x'))),))", "own 'odd' gives it"),
    ],
)
def test_a_declaration_with_a_wrong_part_is_refused_with_its_place(
    part: str, reason: str, installed: Installed
) -> None:
    name = f"reg_part_{hashlib.sha256(part.encode()).hexdigest()[:8]}"  # imported once, so one for each case
    found = installed(("reg-part", {name: name}, {name: PARTS.format(name=name, part=part)}))
    assert space_of(found.steps.values()) == space_of(OWN.values())
    (refused,) = found.refused
    assert str(refused).startswith(f"step '{name}' of plug-in reg-part 1.0 is refused: {name} ")
    assert reason in str(refused) and "\n" not in str(refused)


def test_settings_that_a_plugins_check_fails_on_are_a_wrong_recipe(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = installed(("reg-odd", {"reg_odd": "reg_odd"}, {"reg_odd": PARTS.format(name="reg_odd", part="")}))
    monkeypatch.setattr(recipe, "registry", lambda: found)
    steps = [{"step": "export"}, {"step": "reg_odd", "config": {"bits": 3}}]
    with pytest.raises(RecipeError, match=r"'reg_odd' of plug-in reg-odd 1\.0 fails on its settings \(ZeroDivision"):
        recipe.recipe_from({"name": "odd", "title": "t", "steps": steps})


def test_an_interrupt_while_plugins_are_found_is_obeyed(installed: Installed) -> None:
    with pytest.raises(KeyboardInterrupt):
        installed(("reg-stop", {"reg_stop": "reg_stop"}, {"reg_stop": "raise KeyboardInterrupt"}))


def test_a_recipe_that_asks_for_it_is_told_why(installed: Installed) -> None:
    found = installed(("reg-bad", {"reg_z": "reg_z"}, {"reg_z": "1 / 0"}))
    with pytest.raises(RecipeError, match=r"step 'reg_z' of plug-in reg-bad 1\.0 is refused: .*ZeroDivisionError"):
        found.named("reg_z")
    with pytest.raises(RecipeError, match="there is no step 'reg_y'"):
        found.named("reg_y")


def test_of_two_plugins_with_one_name_neither_is_taken(installed: Installed) -> None:
    two = [(f"reg-{n}", {"reg_twin": f"reg_twin_{n}"}, {f"reg_twin_{n}": minimal("reg_twin")}) for n in ("one", "two")]
    found = installed(*two)
    assert found.steps.keys() == OWN.keys()
    assert [str(one) for one in found.refused] == [
        "step 'reg_twin' of plug-in reg-one 1.0 is refused: reg-two 1.0 brings a step of that name too: "
        "uninstall one of them",
        "step 'reg_twin' of plug-in reg-two 1.0 is refused: reg-one 1.0 brings a step of that name too: "
        "uninstall one of them",
    ]


def test_a_plugin_that_imports_torch_as_it_is_found_is_refused_and_said_once_in_the_log(tmp_path: Path) -> None:
    unpack(wheel(tmp_path, "reg-heavy", "1.0", {"reg_heavy": "reg_heavy"}, {
        "reg_heavy": "import onnx\n" + minimal("reg_heavy"),
    }), tmp_path / "site")  # fmt: skip
    code = "from edgefleet_compression.registry import registry; registry(); print('reg_heavy' in registry().steps)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr
    assert done.stderr.count("importing reg_heavy imports onnx: import that inside run") == 1


def test_what_contradicts_itself_is_no_declaration() -> None:
    good = {"name": "x", "config": StepConfig, "consumes": FILE, "produces": None, "technique": None}
    good["search"] = NotSearched("it is an example")
    Step(**good)
    for wrong, reason in [
        ({"name": "X"}, "a step's name"),
        ({"trains": True, "consumes": MODULE}, "no setting 'epochs'"),
        ({"needs_for": {"bits": frozenset({"calib"})}}, "needs_for names 'bits'"),
        ({"consumes": SOURCE}, "gives another kind: name that"),
    ]:
        with pytest.raises(ValueError, match=reason):
            Step(**good | wrong)
    with pytest.raises(ValueError, match="says why"):
        NotSearched(" ")


@pytest.mark.parametrize("missing", ["technique", "search"])
def test_a_step_says_its_technique_and_how_it_is_searched_or_is_none(missing: str) -> None:
    whole = {"name": "x", "config": StepConfig, "consumes": FILE, "produces": None, "technique": None}
    whole["search"] = Searched()
    with pytest.raises(TypeError, match=missing):
        Step(**{name: value for name, value in whole.items() if name != missing})


ROLE = """
from edgefleet_compression.step import EXPORT, FILE, Searched, Step, StepConfig, Tail, Trunk, step
STEP = Step(name="reg_role", config=StepConfig, consumes=FILE, produces=None, technique=None,
            search=Searched(trunks={trunks}, tails={tails}))
def run(state, config, context): pass
"""
NO_TRAINING = 'Trunk("cut", "t", (step("prune_structured"),), "pruned")'


@pytest.mark.parametrize(
    ("trunks", "tails", "reason"),
    [
        ("()", '(Tail("odd", "t", (EXPORT, step("static_int8", bits=3))),)', "setting 'bits'"),
        ("()", '(Tail("odd", "t", (step("static_int8"), EXPORT)),)', "put 'export' before it"),
        ("()", '(Tail("w8", "t", (EXPORT,)),)', "its name is taken"),
        (f"({NO_TRAINING},)", "()", "no step of it trains"),
    ],
)
def test_a_plugins_part_of_the_space_that_cannot_be_tried_is_left_out(
    trunks: str, tails: str, reason: str, installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    # A module of its own for each case: it is imported once.
    module = f"reg_role_{abs(hash((trunks, tails)))}"
    entry = {"reg_role": module}
    found = installed(("reg-role", entry, {module: ROLE.format(trunks=trunks, tails=tails)}))
    assert not found.refused
    with caplog.at_level(logging.WARNING):
        assert space_of(found.steps.values()) == space_of(OWN.values())
    assert "of plug-in reg-role 1.0" in caplog.text and reason in caplog.text


def test_a_name_too_long_for_a_recipes_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 26"):
        Tail("x" * 27, "t", (EXPORT, step("fp16")))
