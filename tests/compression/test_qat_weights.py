"""Networks that learn on the grid of their stored weights, and stay on it until a device unfolds them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import OnnxState, TorchState
from edgefleet_compression.networks.architectures import build
from edgefleet_compression.networks.layers import Binary, Grid, Ternary
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.steps import export, qat_weights, storage_quant, tune_norms
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.qat_weights import QatWeightsConfig
from edgefleet_compression.steps.storage_quant import StorageQuantConfig
from edgefleet_compression.steps.tune_norms import TuneNormsConfig

pytestmark = pytest.mark.torch


FAST: dict[str, Any] = {"epochs": 1, "batch": 64, "flip": False}


def stored(result: StepResult, context: Context, tmp_path: Path) -> tuple[OnnxState, OnnxState]:
    """The exported file, and the same with its weights stored without loss."""
    file = export.run(result.state, ExportConfig(), context).state
    own = Context(context.source, None, 0, tmp_path, context.progress)
    return file, storage_quant.run(file, StorageQuantConfig(lossless=True), own).state


def integers(state: OnnxState) -> list[Any]:
    kinds = (onnx.TensorProto.INT4, onnx.TensorProto.INT8)
    found = [i for i in onnx.load(state.path).graph.initializer if i.data_type in kinds]
    return [onnx.numpy_helper.to_array(i).astype(np.int8) for i in found]


@pytest.mark.slow
def test_the_weights_that_training_left_on_the_grid_are_the_ones_that_are_stored(
    context: Context, tmp_path: Path
) -> None:
    trained = qat_weights.run(context.source.state, QatWeightsConfig(dense=3, pointwise=4, **FAST), context)
    file, small = stored(trained, context, tmp_path)
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    exact, unfolded = GraphSession(file.path).logits(x), GraphSession(small.path).logits(x)
    assert np.abs(exact - unfolded).max() < 0.01 * np.abs(exact).max()
    assert max(np.abs(i).max() for i in integers(small) if i.shape[1:] == (32, 3, 3)) == 3


@pytest.mark.parametrize(("levels", "values"), [("ternary", {-1, 0, 1}), ("binary", {-1, 1})])
def test_few_levels_are_few_levels_but_for_stem_and_head(
    levels: str, values: set[int], context: Context, tmp_path: Path
) -> None:
    config = QatWeightsConfig.model_validate({"levels": levels, **FAST})
    _, small = stored(qat_weights.run(context.source.state, config, context), context, tmp_path)
    inner = [i for i in integers(small) if i.ndim == 4 and i.shape[1] > 1]
    assert inner and all(set(np.unique(i)) <= values for i in inner)
    assert max(np.abs(i).max() for i in integers(small)) > 1


def test_norms_learn_while_weights_stay_where_they_were_put(context: Context) -> None:
    trained = qat_weights.run(context.source.state, QatWeightsConfig(dense=3, **FAST), context).state
    tuned = tune_norms.run(trained, TuneNormsConfig(snap=False, **FAST), context).state
    before, after = trained.module.state_dict(), tuned.module.state_dict()
    assert torch.equal(before["blocks.0.conv1.weight"], after["blocks.0.conv1.weight"])
    assert not torch.equal(before["norm.weight"], after["norm.weight"])


def test_bits_follow_sensitivity_where_a_mean_is_asked(context: Context) -> None:
    log = qat_weights.run(context.source.state, QatWeightsConfig(mean_bits=4, **FAST), context).log
    module = context.source.state.module
    sizes = {name: module.get_submodule(name).weight.numel() for name in log["bits"]}
    assert sum(log["bits"][name] * sizes[name] for name in sizes) <= 4 * sum(sizes.values())
    assert len(set(log["bits"].values())) > 1


def test_training_on_a_grid_that_weights_lie_on_is_an_error(context: Context) -> None:
    config = QatWeightsConfig(levels="binary", stem=8, linear=8, **FAST)
    state: TorchState = qat_weights.run(context.source.state, config, context).state
    with pytest.raises(NothingChanged, match="on its grid already"):
        qat_weights.run(state, config, context)


@pytest.mark.parametrize("grid", [Grid(4), Ternary(), Binary()], ids=["grid", "ternary", "binary"])
def test_the_gradient_passes_as_if_nothing_were_rounded(grid: Grid) -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    grid(weight).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones_like(weight))


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_few_levels_leave_depthwise_weights_their_bits(levels: Any, context: Context) -> None:
    module = build("ds_cnn", {"width": 8}, (1, 8, 8), 3)
    student = TorchState("ds_cnn", {"width": 8}, (1, 8, 8), 3, module)
    trained = qat_weights.run(student, QatWeightsConfig(levels=levels, **FAST), context).state.module
    block = trained.blocks[1]
    assert len(block.pointwise.weight[0].abs().round(decimals=5).unique()) <= 2
    assert len(block.depthwise.weight[0].abs().round(decimals=5).unique()) > 3
