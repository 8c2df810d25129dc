"""Weights that were set to zero: in a module and in a file, and through whatever training follows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.measuring.measure import encoded_bytes
from edgefleet_compression.models.states import OnnxState, TorchState
from edgefleet_compression.networks.layers import weighted
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.registry import registry
from edgefleet_compression.step import Context
from edgefleet_compression.steps import fp16, prune_unstructured
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.fp16 import Fp16Config
from edgefleet_compression.steps.prune_unstructured import PruneUnstructuredConfig
from edgefleet_compression.steps.qat_weights import QatWeightsConfig

pytestmark = pytest.mark.torch


def zeros(state: TorchState) -> float:
    weights = [layer.weight.detach() for _, layer in weighted(state.module)]
    return float(sum((w == 0).sum() for w in weights) / sum(w.numel() for w in weights))


def own(context: Context, folder: Path) -> Context:
    return Context(context.source, context.scheme, 0, folder, context.progress)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_smallest_weights_of_a_module_become_zero(scope: Any, context: Context) -> None:
    config = PruneUnstructuredConfig(sparsity=0.7, scope=scope)
    result = prune_unstructured.run(context.source.state, config, context)
    assert zeros(result.state) == pytest.approx(0.7, abs=0.01) == result.log["zeros"]
    kept = [layer.weight.detach().abs() for _, layer in weighted(result.state.module)]
    if scope == "layer":
        assert all(float((w == 0).float().mean()) == pytest.approx(0.7, abs=0.05) for w in kept)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("finetune", FinetuneConfig(epochs=1, batch=64, flip=False)),
        ("qat_weights", QatWeightsConfig(epochs=1, batch=64, flip=False)),
    ],
)
def test_what_was_pruned_stays_pruned_while_the_network_trains(name: str, config: Any, context: Context) -> None:
    pruned = prune_unstructured.run(context.source.state, PruneUnstructuredConfig(sparsity=0.8), context).state
    trained = registry().named(name).run(pruned, config, context).state
    assert zeros(trained) >= zeros(pruned) > 0.79
    assert trained.digest() != pruned.digest()


def test_a_file_is_pruned_too_and_travels_in_fewer_bytes(context: Context, exported: OnnxState, tmp_path: Path) -> None:
    sparse = prune_unstructured.run(exported, PruneUnstructuredConfig(sparsity=0.9), own(context, tmp_path)).state
    assert encoded_bytes(sparse.path) < 0.3 * encoded_bytes(exported.path)
    assert sparse.path.stat().st_size > 0.99 * exported.path.stat().st_size


def test_pruning_what_is_pruned_already_is_an_error(context: Context) -> None:
    config = PruneUnstructuredConfig(sparsity=0.5)
    once = prune_unstructured.run(context.source.state, config, context)
    with pytest.raises(NothingChanged, match="50% of the weights are zero already"):
        prune_unstructured.run(once.state, config, context)


def test_half_floats_take_half_the_bytes_and_unfold_at_load(
    context: Context, exported: OnnxState, tmp_path: Path
) -> None:
    half: OnnxState = fp16.run(exported, Fp16Config(), own(context, tmp_path)).state
    assert half.path.stat().st_size < 0.55 * exported.path.stat().st_size
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    np.testing.assert_allclose(GraphSession(exported.path).logits(x), GraphSession(half.path).logits(x), atol=0.05)
    with pytest.raises(NothingChanged, match="found no fp32 weight"):
        fp16.run(half, Fp16Config(), own(context, tmp_path))


def test_a_weight_that_half_floats_cannot_hold_is_refused(
    context: Context, exported: OnnxState, tmp_path: Path
) -> None:
    model = onnx.load(exported.path)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0] = 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "huge.onnx")
    with pytest.raises(Exception, match="does not fit in 16 bits"):
        fp16.run(OnnxState(tmp_path / "huge.onnx"), Fp16Config(), own(context, tmp_path))
