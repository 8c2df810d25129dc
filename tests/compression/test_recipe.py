"""A recipe is checked before anything runs: steps, their order, their settings."""

from typing import Any

import pytest
from tests.deep_toml import UNUSABLE

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes.recipe import (
    Recipe,
    build_order,
    new_recipe,
    parse_recipe,
    recipe_from,
    shipped_recipes,
)
from edgefleet_compression.registry import registry


def recipe(*steps: str | tuple[str, dict[str, Any]], name: str = "r") -> Recipe:
    specs = [{"step": s, "config": {}} if isinstance(s, str) else {"step": s[0], "config": s[1]} for s in steps]
    return recipe_from({"name": name, "title": "t", "steps": specs})


def test_the_shipped_recipes_are_valid() -> None:
    assert set(shipped_recipes()) == {"as-brought", "fp32", "int8", "pruned-int8", "pruned-w8", "student-w5", "w8"}


def test_a_step_after_export_that_needs_a_module_is_refused_with_the_reason() -> None:
    with pytest.raises(RecipeError, match="'finetune' takes a torch module, but 'export' gives an ONNX file: move it"):
        recipe("export", "finetune")


def test_a_step_before_export_that_needs_a_file_is_refused_with_the_reason() -> None:
    with pytest.raises(RecipeError, match="but the source model gives a torch module: put 'export' before it"):
        recipe("static_int8", "export")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["export", "as_brought"], "'as_brought' takes a file as it was brought, but 'export' gives an ONNX file: use"),
        (["as_brought", "pack"], "'pack' comes after 'as_brought', which lays out the file for good"),
    ],
)
def test_a_file_as_it_was_brought_has_no_step_before_or_after(steps: list[str], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        recipe(*steps)


def test_a_recipe_that_ends_in_a_module_is_refused() -> None:
    with pytest.raises(RecipeError, match="devices run ONNX: end it with 'export'"):
        recipe("prune_structured")


def test_an_unknown_step_is_refused_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match="there is no step 'shrink': use one of accuracy_int8, as_brought"):
        recipe("shrink")


@pytest.mark.parametrize("config", [{"ratio": 1.5}, {"ratoi": 0.5}])
def test_a_setting_that_the_step_does_not_take_is_refused_by_name(config: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=f"'prune_structured', setting '{next(iter(config))}'"):
        recipe(("prune_structured", config), "export")


@pytest.mark.parametrize(
    ("step", "setting", "given", "expected"),
    [
        ("storage_quant", "pointwise", "4", "must be a whole number, not '4'"),
        ("storage_quant", "pointwise", True, "must be a whole number, not true"),
        ("storage_quant", "mean_bits", "5.5", "must be a number, not '5.5'"),
        ("static_int8", "per_channel", 1, "must be true or false, not 1"),
        ("static_int8", "per_channel", "yes", "must be true or false, not 'yes'"),
        ("static_int8", "samples", 64.0, "must be a whole number, not 64.0"),
        ("export", "opset", "18", "must be a whole number, not '18'"),
    ],
)
def test_a_setting_of_another_type_is_not_converted_and_what_was_expected_is_said(
    step: str, setting: str, given: object, expected: str
) -> None:
    with pytest.raises(RecipeError, match=f"'{step}', setting '{setting}': {expected}"):
        recipe("export", (step, {setting: given}))


def test_a_whole_number_is_a_number_and_a_list_is_taken_where_several_are() -> None:
    assert recipe("export", ("storage_quant", {"mean_bits": 5})).whole_steps()[1].config["mean_bits"] == 5.0
    for shipped in shipped_recipes().values():
        again = [(step.step, step.config) for step in shipped.whole_steps()]
        assert recipe(*again).digest == shipped.digest, "what a lineage holds is taken as it is"


@pytest.mark.parametrize(
    ("title", "why"),
    [("", "it is blank"), ("\u200b\u3164 ", "it is blank"), ("a\nb", "character 2"), ("a\u202eb", "character 2")],
)
def test_a_new_recipe_needs_a_title_that_people_can_read(title: str, why: str) -> None:
    table = {"name": "r", "title": title, "steps": [{"step": "export"}]}
    with pytest.raises(RecipeError, match=f"recipe 'r', title: {why}"):
        new_recipe(table)
    assert recipe_from(table).title == title, "stores may hold an older one"


def test_weights_trained_for_one_grid_are_not_put_on_another() -> None:
    per_tensor = {"per_channel": False}
    with pytest.raises(RecipeError, match="'qat_int8' trains with per_channel = false, but 'static_int8' has true"):
        recipe(("qat_int8", per_tensor), "export", "static_int8")
    recipe(("qat_int8", per_tensor), "export", ("static_int8", per_tensor))
    recipe("qat_int8", "export", "accuracy_int8")


def test_text_that_is_not_toml_is_refused() -> None:
    with pytest.raises(RecipeError, match="not valid TOML"):
        parse_recipe("steps = [")


@pytest.mark.parametrize("kind", UNUSABLE)
def test_toml_that_nobody_can_work_with_is_refused(kind: str) -> None:
    with pytest.raises(RecipeError, match="not valid TOML"):
        parse_recipe(UNUSABLE[kind])


def test_the_digest_counts_what_steps_do_and_not_how_it_is_written() -> None:
    written_out = registry().named("export").step.config().model_dump()
    assert recipe("export").digest == recipe(("export", written_out), name="other").digest
    assert recipe("export").digest != recipe(("export", {"opset": 20})).digest


def test_parallel_builds_start_with_training_and_end_with_what_the_cache_will_hold() -> None:
    assert [r.name for r in build_order(shipped_recipes().values())] == [
        "student-w5", "pruned-int8", "as-brought", "fp32", "int8", "w8", "pruned-w8"]  # fmt: skip
