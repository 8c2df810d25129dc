"""What our steps declare: nothing that a search or a table of techniques does not know, and nothing that is heavy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgefleet_compression.cache import library_versions, step_key
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_compression.registry import own_steps, registry
from edgefleet_compression.search import space
from edgefleet_compression.search.quick_trials import steps_of
from edgefleet_compression.step import NotSearched
from edgefleet_protocol.canonical import digest_of

OWN = {one.step.name: one.step for one in own_steps()}
SPACE = space.space_of(own_steps())
IDENTITIES = json.loads((Path(__file__).parent / "step_identities.json").read_text())
WITHOUT_TECHNIQUE = {"as_brought", "export", "pack", "reestimate_norms", "tune_norms"}
"""Steps that are no technique by themselves: they write, lay out, or tune what another step has done."""
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "safetensors", "torch_pruning", "optuna"}


def searched() -> set[str]:
    """The steps of all that a search may ask for: trunks, tails, few bits, trials and packing."""
    specs = [spec for role in (*SPACE.networks, *SPACE.tails) for spec in role.steps]
    specs += [spec for name, _ in SPACE.low_bits for spec in space.low_bits(name, 3, 1).steps]
    specs += [*steps_of({"dense": 4, "sparsity": 0.5}), *space.packed(shipped_recipes()["w8"]).steps]
    return {spec.step for spec in specs}


def test_a_search_uses_every_step_that_does_not_say_why_not() -> None:
    declared = {name for name, step in OWN.items() if not isinstance(step.search, NotSearched)}
    assert searched() == declared


def test_every_step_has_a_technique_or_is_known_to_have_none() -> None:
    assert {name for name, step in OWN.items() if not step.technique} == WITHOUT_TECHNIQUE


def test_the_default_space_holds_what_steps_declare_in_order() -> None:
    assert [trunk.name for trunk in SPACE.networks] == ["ds24x2", "pruned50", "ds48x2", "ds24x1", "ds16x2"]
    rounds = [[tail.name for tail in SPACE.tails if int(tail.rank) == number] for number in range(3)]
    assert rounds == [["fp32", "w8", "fp16", "w6", "w5"], ["int8", "int8-kept"], ["sparse-w8", "int8-percentile"]]


def test_finding_every_step_and_checking_every_recipe_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgefleet_compression.recipes.recipe import shipped_recipes; shipped_recipes(); "
        f"print(len([m for m in sys.modules if m.startswith('edgefleet_compression.steps.')]), "
        f"*{HEAVY!r} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(OWN))]


# What was built before is found again, and comes out the same when it is made again.


@pytest.mark.parametrize("name", OWN)
def test_a_step_is_what_it_was_until_its_revision_says_otherwise(name: str) -> None:
    step = OWN[name]
    now = {"revision": step.revision, "config": step.config().model_dump(mode="json"), "scheme": "scheme" in step.needs}
    assert now == IDENTITIES["steps"].get(name), "raise the step's revision, then write down what it is"


def test_the_shipped_recipes_are_what_they_were() -> None:
    assert {name: recipe.digest for name, recipe in shipped_recipes().items()} == IDENTITIES["recipes"]


KEY: dict[str, Any] = {
    "input_digest": "i",
    "step": "fp16",
    "revision": 1,
    "config": {},
    "data_digest": "d",
    "source_digest": "s",
    "seed": 0,
}


def test_the_key_of_one_of_our_steps_is_made_of_what_it_was_made_of() -> None:
    parts = {"input": "i", "step": "fp16", "revision": 1, "config": {}, "data": "d", "source": "s", "seed": 0}
    assert step_key(**KEY) == digest_of({**parts, "libraries": library_versions()})


def test_a_plugin_and_its_version_are_a_part_of_its_steps_keys() -> None:
    one, other = ({"name": "p", "version": version} for version in ("1", "2"))
    assert len({step_key(**KEY), step_key(**KEY, plugin=one), step_key(**KEY, plugin=other)}) == 3


def test_our_own_steps_are_what_a_process_without_plugins_has() -> None:
    assert {name for name, found in registry().steps.items() if found.plugin is None} == OWN.keys()
