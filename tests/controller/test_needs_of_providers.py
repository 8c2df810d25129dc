"""Hardware that prefers another execution provider than the CPU gets variants that name it; others get none."""

from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_controller.models.needs import needs_of
from edgefleet_profiles.catalogue import load_catalogue

OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"


def test_a_class_whose_first_provider_is_not_the_cpu_gets_variants_that_name_its_providers() -> None:
    plain = load_catalogue().profile("eu/x86-vnni/lte")
    hardware = plain.hardware.model_copy(update={"providers": (OPENVINO, CPU)})
    recipes = [shipped_recipes()["fp32"]]
    assert [need.providers for need in needs_of([plain], recipes).variants] == [()]
    named = needs_of([plain, plain.model_copy(update={"hardware": hardware})], recipes).variants
    assert {need.providers for need in named} == {(), (OPENVINO, CPU)}
    assert "fp32 (OpenVINO, CPU)" in {need.label for need in named}
