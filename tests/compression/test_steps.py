"""Each step does what it is for, and says so when it did not."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.models.states import OnnxState, TorchState
from edgefleet_compression.networks import architectures
from edgefleet_compression.networks.architectures import build
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.steps import (
    distill,
    export,
    finetune,
    prune_structured,
    static_int8,
    storage_quant,
    tune_norms,
)
from edgefleet_compression.steps.distill import DistillConfig
from edgefleet_compression.steps.export import ExportConfig, check_parity
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.prune_structured import PruneStructuredConfig
from edgefleet_compression.steps.static_int8 import StaticInt8Config
from edgefleet_compression.steps.storage_quant import StorageQuantConfig
from edgefleet_compression.steps.tune_norms import TuneNormsConfig
from edgefleet_compression.training import distillation_loss

pytestmark = pytest.mark.torch


FEW_BITS = {"stem": 8, "dense": 4, "pointwise": 3, "linear": 5}


@pytest.fixture(scope="module")
def exported(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> StepResult:
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source

    folder = tmp_path_factory.mktemp("exported")
    source = open_source(tiny_files, Cache(folder / "cache"))
    context = Context(source, None, 0, folder, lambda share, text: None)
    return export.run(source.state, ExportConfig(), context)


def onnx_state(result: StepResult) -> OnnxState:
    assert isinstance(result.state, OnnxState)
    return result.state


def torch_state(result: StepResult) -> TorchState:
    assert isinstance(result.state, TorchState)
    return result.state


def test_an_exported_file_answers_as_the_module_for_any_batch(exported: StepResult, context: Context) -> None:
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    with torch.inference_mode():
        expected = context.source.state.module(torch.from_numpy(x)).numpy()
    session = GraphSession(onnx_state(exported).path)
    for batch in (1, 7, 64):
        np.testing.assert_allclose(session.logits(x, batch), expected, atol=1e-4)


def test_an_exported_file_carries_no_metadata(exported: StepResult) -> None:
    model = onnx.load(onnx_state(exported).path)
    assert not model.metadata_props and not model.graph.value_info and not model.doc_string
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert model.graph.input[0].name == "input"


def test_a_file_that_answers_otherwise_than_the_module_is_refused(exported: StepResult, context: Context) -> None:
    other = TorchState("resnet_s", {}, (1, 8, 8), 3, build("resnet_s", {}, (1, 8, 8), 3, seed=99).eval())
    with pytest.raises(StepError, match="a logit of the file differs"):
        check_parity(other, onnx_state(exported).path, context, 1e-3)


def test_pruning_takes_whole_channels_in_multiples_of_round_to(context: Context) -> None:
    source = context.source.state
    result = prune_structured.run(source, PruneStructuredConfig(ratio=0.5, round_to=8), context)
    assert torch_state(result).parameters() < 0.3 * source.parameters() == 0.3 * result.log["parameters_before"]
    assert all(width % 8 == 0 for width in result.log["widths"].values())


@pytest.fixture
def without_channels() -> Iterator[TorchState]:
    """A model that no channel can be taken from, and whose weights no training moves."""

    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3))[:, None] + self.weight * 0

    architectures.REGISTRY["constant"] = lambda shape, classes: Constant()
    yield TorchState("constant", {}, (1, 8, 8), 3, Constant())
    del architectures.REGISTRY["constant"]


def test_pruning_that_removes_nothing_is_an_error(without_channels: TorchState, context: Context) -> None:
    with pytest.raises(NothingChanged, match="removed no channel"):
        prune_structured.run(without_channels, PruneStructuredConfig(), context)


def test_finetuning_that_changes_nothing_is_an_error(without_channels: TorchState, context: Context) -> None:
    config = FinetuneConfig(epochs=1, weight_decay=0.0, flip=False)
    with pytest.raises(NothingChanged, match="finetune left every weight as it was"):
        finetune.run(without_channels, config, context)


def test_a_step_leaves_the_state_it_was_given_as_it_was(context: Context) -> None:
    before = context.source.state.digest()
    prune_structured.run(context.source.state, PruneStructuredConfig(), context)
    finetune.run(context.source.state, FinetuneConfig(epochs=1, batch=64), context)
    tune_norms.run(context.source.state, TuneNormsConfig(epochs=1, batch=64), context)
    assert context.source.state.digest() == before


def test_finetuning_brings_a_pruned_model_back(context: Context) -> None:
    pruned = torch_state(prune_structured.run(context.source.state, PruneStructuredConfig(ratio=0.7), context))
    config = FinetuneConfig(epochs=4, batch=32, rate=5e-3, flip=False)
    log = finetune.run(pruned, config, context).log
    assert log["losses"][-1] < log["losses"][0]
    assert log["val"] > log["val_before"] + 0.2


def test_training_that_diverges_is_refused(context: Context) -> None:
    config = FinetuneConfig(epochs=30, rate=10, batch=32, weight_decay=1e6)
    with pytest.raises(StepError, match="training diverged"):
        finetune.run(context.source.state, config, context)


def test_a_student_learns_from_the_source_and_is_smaller(context: Context) -> None:
    config = DistillConfig(args={"width": 8}, epochs=6, batch=32, rate=0.02, flip=False)
    result = distill.run(context.source.state, config, context)
    assert torch_state(result).architecture == "ds_cnn"
    assert result.log["parameters"] < context.source.state.parameters() / 100
    assert result.log["val"] > 0.8


def test_a_student_that_is_no_smaller_is_an_error(context: Context) -> None:
    with pytest.raises(NothingChanged, match="choose a narrower student"):
        distill.run(context.source.state, DistillConfig(args={"width": 200}), context)


def test_soft_labels_that_the_student_already_gives_cost_nothing() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    labels = torch.tensor([0])
    assert float(distillation_loss(logits, logits, labels, 4.0, 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits, logits + 3, labels, 4.0, 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits, -logits, labels, 4.0, 1.0)) > 0.5
    hard = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.isclose(distillation_loss(logits, None, labels, 4.0, 0.5), hard)


@pytest.mark.parametrize("scheme", [Scheme("u8"), Scheme("u8", reduce_range=True), Scheme("s8")])
def test_int8_follows_the_scheme(exported: StepResult, context: Context, scheme: Scheme) -> None:
    own = Context(context.source, scheme, 0, context.folder, context.progress)
    result = static_int8.run(exported.state, StaticInt8Config(), own)
    model = onnx.load(onnx_state(result).path)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    weights = [a for a in stored.values() if a.dtype == np.int8 and a.ndim == 4]
    zero_points = {stored[n.input[2]].dtype for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert weights and max(int(np.abs(w).max()) for w in weights) == (64 if scheme.reduce_range else 127)
    assert zero_points == {np.dtype(np.uint8 if scheme.activation == "u8" else np.int8)}
    assert result.log["scheme"] == scheme.as_dict()


def test_int8_without_a_scheme_is_refused(exported: StepResult, context: Context) -> None:
    own = Context(context.source, None, 0, context.folder, context.progress)
    with pytest.raises(StepError, match="no int8 scheme"):
        static_int8.run(exported.state, StaticInt8Config(), own)


def test_stored_weights_unfold_at_load_without_any_option(
    exported: StepResult, context: Context, tmp_path: Path
) -> None:
    state = onnx_state(storage_quant.run(exported.state, StorageQuantConfig(**FEW_BITS), context))
    assert {"Cast", "Mul"} <= {node.op_type for node in onnx.load(state.path).graph.node}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(state.path), options, providers=["CPUExecutionProvider"])
    left = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert not left & {"Cast", "Mul", "DequantizeLinear"}, left


def test_stored_weights_of_eight_bits_answer_nearly_as_before_in_a_quarter_of_the_bytes(
    exported: StepResult, context: Context
) -> None:
    eight = StorageQuantConfig(stem=8, dense=8, pointwise=8, linear=8)
    state = onnx_state(storage_quant.run(exported.state, eight, context))
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    before, after = GraphSession(onnx_state(exported).path).logits(x), GraphSession(state.path).logits(x)
    assert np.abs(before - after).max() < 0.1
    assert state.path.stat().st_size < 0.3 * onnx_state(exported).path.stat().st_size


def test_up_to_four_bits_are_packed_two_to_a_byte(exported: StepResult, context: Context) -> None:
    state = onnx_state(storage_quant.run(exported.state, StorageQuantConfig(**FEW_BITS), context))
    kinds: dict[int, int] = {}
    for initializer in onnx.load(state.path).graph.initializer:
        kinds[initializer.data_type] = kinds.get(initializer.data_type, 0) + len(initializer.raw_data)
    packed, bytewise = kinds[onnx.TensorProto.INT4], kinds[onnx.TensorProto.INT8]
    assert packed > 150_000 > 1_000 > bytewise
    assert state.path.stat().st_size < 0.16 * onnx_state(exported).path.stat().st_size


def test_packed_integers_are_those_of_the_grid(exported: StepResult, context: Context) -> None:
    """Every other pair of bits, so that a wrong order of nibbles or a wrong sign would show."""
    from edgefleet_compression.grid import to_grid

    before = onnx.load(onnx_state(exported).path)
    state = onnx_state(storage_quant.run(exported.state, StorageQuantConfig(**FEW_BITS), context))
    given = {i.name: onnx.numpy_helper.to_array(i) for i in before.graph.initializer}
    dense = next(a for a in given.values() if a.ndim == 4 and a.shape[1] > 1 and a.shape[2] == 3)
    stored = [onnx.numpy_helper.to_array(i) for i in onnx.load(state.path).graph.initializer]
    same_shape = [a.astype(np.int8) for a in stored if a.shape == dense.shape]
    assert any(np.array_equal(a, to_grid(dense, 4)[0]) for a in same_shape)


def test_storing_twice_is_an_error(exported: StepResult, context: Context, tmp_path: Path) -> None:
    state = onnx_state(storage_quant.run(exported.state, StorageQuantConfig(), context))
    kept = OnnxState(Path(shutil.copyfile(state.path, tmp_path / "once.onnx")))
    with pytest.raises(NothingChanged, match="found no fp32 weights to store"):
        storage_quant.run(kept, StorageQuantConfig(), context)


@pytest.mark.slow
def test_norm_tuning_leaves_weights_on_the_grid_that_storage_finds_again(context: Context, tmp_path: Path) -> None:
    bits: dict[str, Any] = {"stem": 7, "dense": 4, "pointwise": 4, "linear": 4}
    tuned = tune_norms.run(context.source.state, TuneNormsConfig(**bits, epochs=1, batch=64), context)
    file = export.run(tuned.state, ExportConfig(), context)
    own = Context(context.source, None, 0, tmp_path, context.progress)
    stored = storage_quant.run(file.state, StorageQuantConfig(**bits), own)
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    exact, unfolded = GraphSession(onnx_state(file).path).logits(x), GraphSession(onnx_state(stored).path).logits(x)
    assert np.abs(exact - unfolded).max() < 0.01 * np.abs(exact).max()


def test_norm_tuning_of_weights_on_the_grid_is_an_error(context: Context) -> None:
    config = TuneNormsConfig(epochs=1, batch=64)
    once = tune_norms.run(context.source.state, config, context)
    with pytest.raises(NothingChanged, match="on the grid already"):
        tune_norms.run(once.state, config, context)
