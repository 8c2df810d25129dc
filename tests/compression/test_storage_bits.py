"""Bits of stored weights by what fewer would cost: measured on the ONNX file, layer by layer."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgefleet_compression.grid import to_grid
from edgefleet_compression.measuring.measure import encoded_bytes
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes
from edgefleet_compression.recipes.recipe import recipe_from
from edgefleet_compression.sensitivity import sensitivity
from edgefleet_compression.step import Context
from edgefleet_compression.steps import export, storage_quant
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.storage_quant import StorageQuantConfig


@pytest.fixture(scope="module")
def lopsided(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> OnnxState:
    """The tiny model, one weight in each channel of its first layer so large that few bits leave little of the rest."""
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source

    folder = tmp_path_factory.mktemp("lopsided")
    source = open_source(tiny_files, Cache(folder / "cache"))
    context = Context(source, None, 0, folder, lambda share, text: None)
    state: OnnxState = export.run(source.state, ExportConfig(), context).state
    model = onnx.load(state.path)
    stem = weighted_nodes(model.graph)[0]
    values = stem.values().copy()
    values[:, 0, 0, 0] = 3 * np.abs(values).max()
    stem.replace(values)
    onnx.save(model, folder / "lopsided.onnx")
    return OnnxState(folder / "lopsided.onnx")


def mean_bits(path: Path, bits: list[int]) -> float:
    sizes = [layer.values().size for layer in weighted_nodes(onnx.load(path).graph)]
    return float(np.average(bits, weights=sizes))


def unlike(state: OnnxState, stored: OnnxState, context: Context) -> float:
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    return float(np.abs(GraphSession(state.path).logits(x) - GraphSession(stored.path).logits(x)).mean())


@pytest.mark.parametrize("mean", [2.0, 3.0, 4.5])
def test_a_weight_takes_no_more_bits_on_average_than_asked(mean: float, lopsided: OnnxState, context: Context) -> None:
    result = storage_quant.run(lopsided, StorageQuantConfig(mean_bits=mean), context)
    assert mean - 0.6 <= mean_bits(lopsided.path, result.log["bits"]) <= mean


def test_the_layer_that_few_bits_would_ruin_keeps_the_most(lopsided: OnnxState, context: Context) -> None:
    bits = storage_quant.run(lopsided, StorageQuantConfig(mean_bits=4), context).log["bits"]
    assert bits[0] == max(bits) > min(bits)


def test_bits_by_sensitivity_cost_less_than_the_same_for_all(
    lopsided: OnnxState, context: Context, tmp_path: Path
) -> None:
    alike = StorageQuantConfig(stem=4, dense=4, depthwise=4, pointwise=4, linear=4)
    own = Context(context.source, None, 0, tmp_path, context.progress)
    uniform = storage_quant.run(lopsided, alike, own).state
    chosen = storage_quant.run(lopsided, StorageQuantConfig(mean_bits=4), context).state
    assert unlike(lopsided, chosen, context) < 0.7 * unlike(lopsided, uniform, context)
    assert encoded_bytes(chosen.path) < 1.15 * encoded_bytes(uniform.path)


def test_the_file_is_as_it_was_after_a_look_at_its_layers(
    lopsided: OnnxState, context: Context, tmp_path: Path
) -> None:
    model = onnx.load(lopsided.path)
    before = [onnx.numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer]
    asked, judge = context.source.asked("calib"), context.source.judge
    found = sensitivity(model, weighted_nodes(model.graph), asked, judge, tmp_path, context.progress)
    for tensor, whole in zip(model.graph.initializer, before, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), whole)
    assert all(set(losses) == set(range(2, 9)) and losses[2] >= losses[8] >= 0 for losses in found.values())


def test_weights_that_are_on_a_grid_keep_it_and_the_others_go_by_sensitivity(
    lopsided: OnnxState, context: Context, tmp_path: Path
) -> None:
    model = onnx.load(lopsided.path)
    layer = weighted_nodes(model.graph)[2]
    integers, scales = to_grid(layer.values(), 3)
    layer.replace(integers * scales.reshape(-1, 1, 1, 1))
    onnx.save(model, tmp_path / "half.onnx")
    config = StorageQuantConfig(mean_bits=4, lossless=True)
    result = storage_quant.run(OnnxState(tmp_path / "half.onnx"), config, context)
    assert result.log["on_grid"] == 1 and result.log["bits"][2] is None


def test_calibration_data_is_needed_only_where_bits_go_by_sensitivity() -> None:
    def needs(**config: float) -> frozenset[str]:
        steps = [{"step": "export"}, {"step": "storage_quant", "config": config}]
        return recipe_from({"name": "r", "title": "t", "steps": steps}).needs

    assert "calib" in needs(mean_bits=4) and "calib" not in needs(linear=4)
