"""What cannot be compressed is refused in one sentence that says what is wrong and what to do.

Files of somebody else's making are in test_brought.py: external data, custom operators, several inputs, batches of
four, weights that are not finite. Data is in test_data.py and test_bad_data.py, pickles are in test_card.py.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.compression import linear_models

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildRequest, WorkRefused
from edgefleet_compression.errors import DataError, NothingChanged, RecipeError
from edgefleet_compression.models.splits.data import Data
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.recipes.recipe import Recipe, recipe_from
from edgefleet_compression.registry import registry
from edgefleet_compression.step import Context
from edgefleet_compression.steps import static_int8, storage_quant
from edgefleet_compression.steps.storage_quant import StorageQuantConfig

ON_FILES = [
    "prune_unstructured", "static_int8", "accuracy_int8", "dynamic_int8", "weight_only", "fp16", "storage_quant",
    "pack",
]  # fmt: skip


def recipe(*steps: str | tuple[str, dict[str, Any]]) -> Recipe:
    specs = [{"step": s} if isinstance(s, str) else {"step": s[0], "config": s[1]} for s in steps]
    return recipe_from({"name": "r", "title": "t", "steps": specs})


def refusal(*steps: str | tuple[str, dict[str, Any]]) -> str:
    with pytest.raises(RecipeError) as caught:
        recipe(*steps)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("storage_quand", "storage_quant"),
        ("static-int8", "static_int8"),
        ("finetuen", "finetune"),
        ("Export", "export"),
        ("qat_weigths", "qat_weights"),
    ],
)
def test_a_typo_in_a_step_names_the_nearest(typo: str, meant: str) -> None:
    assert refusal(typo).endswith(f"there is no step '{typo}': did you mean '{meant}'?")


def test_a_step_like_none_is_answered_with_all_there_are() -> None:
    assert ", ".join(registry().steps) in refusal("xyz")


@pytest.mark.parametrize(
    ("step", "typo", "meant"),
    [
        ("storage_quant", "mean_bit", "mean_bits"),
        ("storage_quant", "pointwize", "pointwise"),
        ("static_int8", "perchannel", "per_channel"),
        ("weight_only", "blocks", "block"),
        ("distill", "epoch", "epochs"),
    ],
)
def test_a_typo_in_a_setting_names_the_nearest(step: str, typo: str, meant: str) -> None:
    told = refusal("export", (step, {typo: 1}))
    assert told.endswith(f"'{step}', setting '{typo}': there is no such setting: did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"calibration": "entropie"}, "'minmax', 'entropy', 'percentile' or 'mse'"),
        ({"samples": 0}, "must be at least 1, not 0"),
        ({"samples": "many"}, "must be a whole number, not 'many'"),
        ({"xyz": 1}, "use one of scheme, per_channel, calibration, percentile, samples"),
    ],
)
def test_a_setting_out_of_its_bounds_says_what_they_are(config: dict[str, Any], reason: str) -> None:
    assert reason in refusal("export", ("static_int8", config))


ORDERS: list[tuple[tuple[str, ...], str]] = [
    (("static_int8",), "'static_int8' takes an ONNX file, but the source model gives a torch module: put 'export' bef"),
    (
        ("export", "finetune"),
        "'finetune' takes a torch module, but 'export' gives an ONNX file: move it before 'export'",
    ),
    (("export", "static_int8", "finetune"), "weights in fewer bits: move it before 'export'"),
    (("export", "storage_quant", "static_int8"), "'static_int8' takes weights in fp32, but 'storage_quant' gives"),
    (("export", "static_int8", "prune_unstructured"), "weights in fewer bits: move it before 'static_int8'"),
    (("export", "weight_only", "storage_quant", "accuracy_int8"), "move it before 'weight_only'"),
    (("export", "static_int8", "static_int8"), "move it before 'static_int8'"),
    (("export", "pack", "storage_quant"), "comes after 'pack', which lays out the file for good: put 'pack' last"),
    (("export", "storage_quant", "pack", "pack"), "put 'pack' last"),
    (("pack",), "put 'export' before it"),
]


@pytest.mark.parametrize(("steps", "reason"), ORDERS)
def test_a_wrong_order_is_refused_with_where_the_step_belongs(steps: tuple[str, ...], reason: str) -> None:
    assert reason in refusal(*steps)


@pytest.mark.parametrize(
    "steps",
    [
        ("export", "prune_unstructured", "static_int8"),
        ("export", "weight_only", "storage_quant", "fp16", "pack"),
        ("export", "accuracy_int8", "storage_quant", "pack"),
        ("export", "dynamic_int8", "fp16"),
        ("export", "pack"),
    ],
)
def test_steps_that_leave_each_other_something_to_do_are_taken(steps: tuple[str, ...]) -> None:
    assert recipe(*steps).refusal("brought") is None


def without_weights(path: Path) -> Path:
    nodes = [
        helper.make_node("MaxPool", ["input"], ["p"], kernel_shape=[8, 3], strides=[8, 2]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    return linear_models.written(path, nodes, [])


@pytest.mark.parametrize("step", ON_FILES)
def test_a_graph_with_nothing_to_change_is_an_error_that_says_so(step: str, context: Context, tmp_path: Path) -> None:
    path = without_weights(tmp_path / "net.onnx")
    with pytest.raises(NothingChanged, match=rf"^{step}.*: .*(drop the step|use static_int8|put it after export|once)"):
        registry().named(step).run(OnnxState(path), registry().named(step).step.config(), context)


@pytest.mark.parametrize("step", ON_FILES)
def test_a_file_that_takes_one_sample_at_a_time_is_taken_by_every_step(
    step: str, context: Context, tmp_path: Path
) -> None:
    model = onnx.load(linear_models.perceptron(tmp_path / "any.onnx", transB=1))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    config: dict[str, Any] = {"accuracy_int8": {"max_drop": 1.0}}.get(step, {})
    result = (
        registry()
        .named(step)
        .run(OnnxState(tmp_path / "one.onnx"), registry().named(step).step.config(**config), context)
    )
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    assert GraphSession(result.state.path).logits(x).shape == (len(x), 3)


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile", "mse"])
def test_three_calibration_samples_are_enough_to_run(calibration: str, context: Context, tmp_path: Path) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx", transB=1)
    config = registry().named("static_int8").step.config(calibration=calibration, samples=3)
    assert static_int8.run(OnnxState(path), config, context).log["calibration_samples"] == 3


def test_a_module_whose_weights_are_not_finite_is_refused(
    tiny_folder: Path, tiny_files: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(tiny_folder / "weights.safetensors")
    name = next(name for name, w in weights.items() if w.ndim == 4)
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, tmp_path / "weights.safetensors")
    card = (tiny_folder / "model.toml").read_text()
    was, now = (hashlib.sha256((f / "weights.safetensors").read_bytes()).hexdigest() for f in (tiny_folder, tmp_path))
    (tmp_path / "model.toml").write_text(card.replace(was, now))
    own = {name: tmp_path / name for name in ("model.toml", "weights.safetensors")}
    request = BuildRequest(tiny_files | own, recipe("export"), "x86-avx2", tmp_path / "cache", tmp_path / "work")
    outcome = build_variant(request)
    assert isinstance(outcome, WorkRefused)
    assert (outcome.reason, "not finite" in outcome.sentence) == ("bad_model", True)


def test_a_missing_calib_split_is_named_where_bits_go_by_sensitivity(
    tiny_folder: Path, context: Context, tmp_path: Path
) -> None:
    arrays = dict(np.load(tiny_folder / "data.npz"))
    del arrays["x_calib"]
    np.savez(tmp_path / "data.npz", **arrays)
    source = replace(context.source, data=Data(tmp_path / "data.npz", (1, 8, 8), 3))
    own = replace(context, source=source)
    state = OnnxState(linear_models.perceptron(tmp_path / "net.onnx"))
    assert storage_quant.run(state, StorageQuantConfig(), own).log["bits"] == [5, 5]
    with pytest.raises(DataError, match="has no x_calib"):
        storage_quant.run(state, StorageQuantConfig(mean_bits=4), own)
