"""Packing changes how a file is written, never what runs; and nothing that unfolds weights is left when it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.parting import mostly_slow

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.measuring.measure import encoded_bytes
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.alike import runs_alike
from edgefleet_compression.onnx_graphs.folding import folded
from edgefleet_compression.onnx_graphs.packing import FLOATS_WAYS, ORDERS, Layout, laid_out, stored_integers
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.registry import registry
from edgefleet_compression.step import Context, StepConfig
from edgefleet_compression.steps import export, pack
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.fp16 import Fp16Config
from edgefleet_compression.steps.pack import PackConfig
from edgefleet_compression.steps.static_int8 import StaticInt8Config
from edgefleet_compression.steps.storage_quant import StorageQuantConfig

STORED = {
    "w8": StorageQuantConfig(stem=8, dense=8, pointwise=8, linear=8),
    "w5": StorageQuantConfig(),
    "w3": StorageQuantConfig(stem=7, dense=3, pointwise=4, linear=4),
    "by sensitivity": StorageQuantConfig(mean_bits=4),
}


@pytest.fixture(scope="module")
def student(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> OnnxState:
    """A small network as an ONNX file; that it has learnt nothing makes no difference to its layout."""
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source
    from edgefleet_compression.models.states import TorchState
    from edgefleet_compression.networks.architectures import build

    folder = tmp_path_factory.mktemp("student")
    source = open_source(tiny_files, Cache(folder / "cache"))
    context = Context(source, None, 0, folder, lambda share, text: None)
    args = {"width": 16}
    module = build("ds_cnn", args, (1, 8, 8), 3, seed=5).eval()
    return export.run(TorchState("ds_cnn", args, (1, 8, 8), 3, module), ExportConfig(), context).state


def made(name: str, state: OnnxState, config: StepConfig, context: Context, folder: Path) -> OnnxState:
    folder.mkdir(exist_ok=True)
    result = (
        registry()
        .named(name)
        .run(state, config, Context(context.source, context.scheme, 0, folder, context.progress))
        .state
    )
    assert isinstance(result, OnnxState)
    return result


def left_when_it_runs(path: Path, target: Path) -> set[str]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(target).graph.node}


def answers(state: OnnxState, context: Context) -> Any:
    return GraphSession(state.path).logits(inputs(context.source.data.read("test").arrays.x, 1 / 255))


@pytest.mark.parametrize("name", mostly_slow(STORED, one_in=2))
def test_nothing_that_unfolds_is_left_and_packing_changes_no_bit_of_the_answers(
    name: str, student: OnnxState, context: Context, tmp_path: Path
) -> None:
    stored = made("storage_quant", student, STORED[name], context, tmp_path / "stored")
    packed = made("pack", stored, PackConfig(), context, tmp_path / "packed")
    assert encoded_bytes(packed.path) < encoded_bytes(stored.path)
    for state in (stored, packed):
        left = left_when_it_runs(state.path, tmp_path / "optimized.onnx")
        assert not left & {"Cast", "DequantizeLinear", "Mul", "Split", "Reshape", "Transpose"}, left
    np.testing.assert_array_equal(answers(packed, context), answers(stored, context))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("floats", FLOATS_WAYS)
@pytest.mark.parametrize("change", ["narrow", "wide", "turned"])
def test_every_layout_leaves_a_session_with_the_very_same_layers(
    order: Any, floats: Any, change: str, student: OnnxState, context: Context, tmp_path: Path
) -> None:
    stored = made("storage_quant", student, STORED["w3"], context, tmp_path / "stored")
    model = onnx.load(stored.path)
    tensors = frozenset(stored_integers(model.graph))
    layout = Layout(tensors if change == "wide" else frozenset(), tensors if change == "turned" else frozenset())
    other = laid_out(model, Layout(layout.wide, layout.turned, order, floats))
    assert len(tensors) > 5 and other.SerializeToString() != model.SerializeToString()
    assert runs_alike(folded(model, tmp_path / "a.onnx"), folded(other, tmp_path / "b.onnx"))


def test_weights_of_three_levels_take_two_bits_only_where_that_is_asked(
    student: OnnxState, context: Context, tmp_path: Path
) -> None:
    ternary = StorageQuantConfig(stem=8, depthwise=8, pointwise=2, linear=2)
    stored = made("storage_quant", student, ternary, context, tmp_path / "stored")
    plain = made("pack", stored, PackConfig(), context, tmp_path / "plain")
    packed = made("pack", stored, PackConfig(two_bits=True), context, tmp_path / "packed")
    assert encoded_bytes(packed.path) < encoded_bytes(plain.path)
    models = [onnx.load(state.path) for state in (plain, packed)]
    assert [model.opset_import[0].version for model in models] == [21, 25]
    assert onnx.TensorProto.INT2 in {tensor.data_type for tensor in models[1].graph.initializer}
    assert not left_when_it_runs(packed.path, tmp_path / "optimized.onnx") & {"Cast", "Mul"}
    np.testing.assert_array_equal(answers(packed, context), answers(stored, context))


def test_a_weight_that_is_another_by_one_step_does_not_run_alike(
    student: OnnxState, context: Context, tmp_path: Path
) -> None:
    model = onnx.load(made("storage_quant", student, STORED["w8"], context, tmp_path / "stored").path)
    whole = folded(model, tmp_path / "a.onnx")
    tensor = next(iter(stored_integers(model.graph).values()))
    tensor.raw_data = bytes([tensor.raw_data[0] ^ 1]) + tensor.raw_data[1:]
    assert not runs_alike(whole, folded(model, tmp_path / "b.onnx"))


def test_an_int8_file_and_one_in_half_floats_are_packed_too(
    student: OnnxState, context: Context, tmp_path: Path
) -> None:
    for name, config in (("static_int8", StaticInt8Config()), ("fp16", Fp16Config())):
        given = made(name, student, config, context, tmp_path / name)
        packed = made("pack", given, PackConfig(), context, tmp_path / f"{name}-packed")
        assert encoded_bytes(packed.path) < encoded_bytes(given.path)
        np.testing.assert_array_equal(answers(packed, context), answers(given, context))


def test_packing_what_is_packed_is_an_error(student: OnnxState, context: Context, tmp_path: Path) -> None:
    stored = made("storage_quant", student, STORED["w5"], context, tmp_path / "stored")
    once = made("pack", stored, PackConfig(), context, tmp_path / "once")
    with pytest.raises(NothingChanged, match=r"pack: none of \d+ layouts encodes to fewer than the .* bytes"):
        made("pack", once, PackConfig(), context, tmp_path / "twice")


def test_the_log_says_what_was_tried_and_saved(student: OnnxState, context: Context, tmp_path: Path) -> None:
    stored = made("storage_quant", student, STORED["w5"], context, tmp_path / "stored")
    result = pack.run(stored, PackConfig(), context)
    assert result.log["encoding_bytes"] == encoded_bytes(result.state.path) < result.log["encoding_bytes_before"]
    assert result.log["layouts"] >= 9
