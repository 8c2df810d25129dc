"""A recipe of one's own: where it is wrong, the answer names the line, the step and the nearest known name."""

from pathlib import Path

import pytest
from tests.deep_toml import UNUSABLE

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_compression.recipes.recipe_file import find_recipe, read_recipe

RECIPE = """# mine
name = "mine"
title = "a student in five bits"

[[steps]]
step = "distill"
config = { args = { width = 16 }, epochs = 2 }

[[steps]]
step = "export"

[[steps]]
step = "storage_quant"
[steps.config]
pointwise = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_of_ones_own_is_read_as_a_shipped_one_is(file: Path) -> None:
    recipe = find_recipe(str(file))
    assert [s.step for s in recipe.steps] == ["distill", "export", "storage_quant"]
    assert find_recipe("w8") == shipped_recipes()["w8"]


@pytest.mark.parametrize(
    ("written", "wrong", "said"),
    [
        ('"distill"', '"distil"', "mine.toml, line 5 (step 1, 'distil'): there is no step 'distil': did you mean"),
        ("epochs", "epochen", "mine.toml, line 7 (step 1, 'distill'): 'distill', setting 'epochen'"),
        ("pointwise = 5", "pointwise = 9", "mine.toml, line 15 (step 3, 'storage_quant'): 'storage_quant', setting"),
        (
            "pointwise = 5",
            'pointwise = "5"',
            "line 15 (step 3, 'storage_quant'): 'storage_quant', setting 'pointwise': must",
        ),
        ("epochs = 2", "epochs = true", "setting 'epochs': must be a whole number, not true"),
        ("a student in five bits", "\u200b", "mine.toml: title: it is blank"),
        ("title", "titel", "mine.toml, line 3: there is no 'titel' in a recipe: did you mean 'title'?"),
        ("[steps.config]", "[steps.konfig]", "line 12 (step 3, 'storage_quant'): there is no 'konfig' in a step"),
        ('step = "export"', "", "mine.toml, line 9 (step 2): the name of the step is missing"),
        ('"export"', '"static_int8"', "mine.toml, line 9 (step 2, 'static_int8'): 'static_int8' takes an ONNX file"),
        ('name = "mine"', 'name = "Mine!"', "name"),
        ('name = "mine"', "name = mine", "mine.toml is not valid TOML: Invalid value (at line 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_the_nearest_name(
    file: Path, written: str, wrong: str, said: str
) -> None:
    file.write_text(RECIPE.replace(written, wrong, 1))
    with pytest.raises(RecipeError) as refused:
        read_recipe(file)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_steps_in_one_line_each_are_found_too(file: Path) -> None:
    file.write_text('name = "m"\ntitle = "t"\nsteps = [\n  { step = "export" },\n  { step = "fp61" },\n]\n')
    with pytest.raises(RecipeError, match=r"line 5 \(step 2, 'fp61'\): there is no step 'fp61': did you mean"):
        read_recipe(file)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("w9", "no recipe 'w9': use one of as-brought, fp32, "),
        ("nothing-near", "no recipe 'nothing-near': use one of as-brought, fp32, "),
        ("not-there.toml", "not-there.toml cannot be read"),
    ],
)
def test_what_is_neither_a_shipped_recipe_nor_a_file_is_refused(given: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        find_recipe(given)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_toml_that_nobody_can_work_with_is_refused(file: Path, kind: str) -> None:
    file.write_text(UNUSABLE[kind])
    with pytest.raises(RecipeError, match=r"mine\.toml is not valid TOML"):
        find_recipe(str(file))


def test_a_device_that_never_ends_is_no_recipe() -> None:
    with pytest.raises(RecipeError, match="is a small TOML file"):
        read_recipe(Path("/dev/zero"))


def test_a_file_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    for name, content in (("binary.toml", b"\xff\xfe\x00"), ("large.toml", b"#" * 2_000_000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecipeError, match=r"is not a text file|is a small TOML file"):
            find_recipe(str(tmp_path / name))
