"""The demo shows any example that says of itself how its further versions are made."""

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load
from typer.testing import CliRunner

from edgefleet_contract.card import load_card
from edgefleet_operator.cli import app
from edgefleet_operator.demo.examples import find_example
from edgefleet_operator.demo.versions import damaged, make_version
from edgefleet_operator.errors import OperatorError

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = sorted(path.parent.name for path in EXAMPLES.glob("*/demo.toml"))


def test_fashion_is_there() -> None:
    assert "fashion" in SHOWN


@pytest.mark.parametrize("name", SHOWN)
def test_every_example_makes_two_further_versions_of_its_own_card(name: str, tmp_path: Path) -> None:
    example = find_example(EXAMPLES, name)
    source = example.model_file.read_bytes()
    changed = damaged(example)
    assert changed != source
    for version, model in ((2, changed), (3, (example.folder / example.versions.finetuned).read_bytes())):
        card = load_card(make_version(example, tmp_path / str(version), version, model))
        assert (card.name, card.version, card.data) == (example.name, version, example.card.data)
        assert card.files[example.model_file.name] == sha256(model).hexdigest()


def test_damaged_weights_swap_the_classes_that_the_example_names() -> None:
    example = find_example(EXAMPLES, "fashion")
    before, after = load(example.model_file.read_bytes()), load(damaged(example))
    for name, rows in before.items():
        wanted = rows[[6, 1, 4, 3, 2, 5, 0, 7, 8, 9]] if name.startswith("head.") else rows
        assert np.array_equal(after[name], wanted)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "fashion", tmp_path / "mine", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("finetuned =", "is not TOML"),
        ("", "finetuned"),
        ('finetuned = "gone"\ndamaged_recipes = []\n[damage]\nat = "head"\nswap = []', "gone does not exist"),
        ('colour = 1\nfinetuned = "x"\ndamaged_recipes = []\n[damage]\nat = "a"\nswap = []', "unknown field colour"),
    ],
)
def test_an_example_that_says_it_wrong_is_told_in_one_line(examples: Path, text: str, told: str) -> None:
    (examples / "mine" / "demo.toml").write_text(text)
    with pytest.raises(OperatorError, match=told):
        find_example(examples, "mine")


def test_another_name_is_answered_with_the_nearest(examples: Path, tmp_path: Path) -> None:
    words = ["demo", "--examples", str(examples), "--state", str(tmp_path / "state"), "--example"]
    done = CliRunner().invoke(app, [*words, "min"])
    assert done.exit_code == 1
    assert done.stderr == f"edgefleet: no example 'min' at {examples}: did you mean 'mine'?\n"
    done = CliRunner().invoke(
        app, ["demo", "--examples", str(tmp_path / "nowhere"), "--state", str(tmp_path / "state")]
    )
    assert "run this in a clone, or give --examples DIR" in done.stderr
