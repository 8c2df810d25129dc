"""The int8 scheme follows the instruction set, and recipes follow the scheme."""

import pytest

from edgefleet_compression.recipes.applicable import recipes_for
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_compression.schemes import Scheme, scheme_for
from edgefleet_profiles.device_class import InstructionSet


@pytest.mark.parametrize(
    ("instruction_set", "scheme"),
    [
        ("x86-vnni", Scheme("u8", "s8", reduce_range=False)),
        ("x86-avx2", Scheme("u8", "s8", reduce_range=True)),
        ("arm-dotprod", Scheme("s8", "s8", reduce_range=False)),
        ("arm-neon", None),
        ("x86-sse", None),
    ],
)
def test_each_instruction_set_has_its_scheme(instruction_set: InstructionSet, scheme: Scheme | None) -> None:
    assert scheme_for(instruction_set) == scheme


def test_all_recipes_apply_where_int8_is_known_to_pay() -> None:
    applicable, reasons = recipes_for("x86-avx2", shipped_recipes().values())
    assert (len(applicable), reasons.keys()) == (6, {"as-brought"})


@pytest.mark.parametrize("instruction_set", ["arm-neon", "x86-sse"])
def test_int8_recipes_are_left_out_with_the_reason_where_it_must_be_measured_first(
    instruction_set: InstructionSet,
) -> None:
    applicable, reasons = recipes_for(instruction_set, shipped_recipes().values())
    assert [recipe.name for recipe in applicable] == ["fp32", "pruned-w8", "student-w5", "w8"]
    assert reasons.keys() == {"as-brought", "int8", "pruned-int8"}
    assert all("until" in why and "storage quantization" in why for name, why in reasons.items() if "int8" in name)
