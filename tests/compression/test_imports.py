"""What the controller imports stays light: torch and its like load in workers only."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "onnx", "onnxruntime", "torch_pruning", "safetensors"}


LIGHT = (
    *("models.card", "models.inspection", "recipes.recipe", "recipes.schemes", "measuring.metrics", "errors"),
    *("builds.build", "builds.worker", "builds.workers", "builds.lineage", "pricing.choosing", "pricing.explain"),
)


@pytest.mark.parametrize("module", LIGHT)
def test_a_module_that_the_controller_imports_brings_no_heavy_library(module: str) -> None:
    code = f"import edgefleet_compression.{module}, sys; print(*{HEAVY!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_golden_set_is_made_without_torch(tiny_files: dict[str, str]) -> None:
    code = (
        f"import sys; from edgefleet_compression.builds.entry_points import make_golden; make_golden({tiny_files!r}); "
        f"print(*{HEAVY!r} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
