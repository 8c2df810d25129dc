"""Linear and recurrent layers in few bits: what onnxruntime's quantizers skip in silence is rewritten or refused."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.compression import linear_models
from tests.compression.asking import CLASSIFIER, asked

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.answers import CHECKED_SAMPLES, Nearness, check_runs
from edgefleet_compression.onnx_graphs.graph import saved
from edgefleet_compression.onnx_graphs.linear import gemms_to_matmuls
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.registry import registry
from edgefleet_compression.step import Context, StepConfig, StepResult
from edgefleet_compression.steps.dynamic_int8 import DynamicInt8Config
from edgefleet_compression.steps.weight_only import WeightOnlyConfig


def ran(name: str, path: Path, config: StepConfig, context: Context) -> StepResult:
    return registry().named(name).run(OnnxState(path), config, context)


def operators(result: StepResult) -> Counter[str]:
    assert isinstance(result.state, OnnxState)
    return Counter(node.op_type for node in onnx.load(result.state.path).graph.node)


def samples(context: Context, split: Any = "test") -> Any:
    return inputs(context.source.data.read(split).arrays.x, 1 / 255)


@pytest.mark.parametrize("gemm", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}])
def test_a_gemm_becomes_a_product_and_a_sum_with_the_same_answers(
    gemm: dict[str, Any], context: Context, tmp_path: Path
) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx", **gemm)
    model = onnx.load(path)
    assert gemms_to_matmuls(model) == 2
    assert Counter(node.op_type for node in model.graph.node)["Gemm"] == 0
    x = samples(context)
    rewritten = GraphSession(saved(model, tmp_path / "rewritten.onnx")).logits(x)
    np.testing.assert_allclose(rewritten, GraphSession(path).logits(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_travel_and_multiply_in_so_many_bits(
    bits: Any, symmetric: bool, context: Context, tmp_path: Path
) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx", transB=1)
    config = WeightOnlyConfig(bits=bits, block=16, symmetric=symmetric)
    result = ran("weight_only", path, config, context)
    assert (result.log["layers"], result.log["gemms_rewritten"]) == (2, 2)
    assert operators(result)["MatMulNBits"] == 2 and not operators(result)["Gemm"]
    assert result.log["file_bytes"] < 0.5 * path.stat().st_size
    x = samples(context)
    agreement = (GraphSession(result.state.path).logits(x).argmax(1) == GraphSession(path).logits(x).argmax(1)).mean()
    assert agreement > {2: 0.5, 4: 0.8, 8: 0.95}[bits]


@pytest.mark.parametrize("block", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("level", [0, 4])
def test_the_kernel_multiplies_by_the_weights_that_are_stored(
    block: Any, level: int, context: Context, tmp_path: Path
) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx", transB=1)
    result = ran("weight_only", path, WeightOnlyConfig(block=block, accuracy_level=level), context)
    assert result.log["kernel_db"] > (60 if level == 0 else 20)


@pytest.mark.parametrize("name", ["weight_only", "dynamic_int8"])
def test_a_network_without_linear_layers_is_an_error(name: str, context: Context, tmp_path: Path) -> None:
    path = linear_models.convolutional(tmp_path / "net.onnx")
    config = {"weight_only": WeightOnlyConfig(), "dynamic_int8": DynamicInt8Config()}[name]
    with pytest.raises(NothingChanged, match=f"{name} changed nothing: the graph has no linear"):
        ran(name, path, config, context)


def test_weights_in_few_bits_are_not_quantized_again(context: Context, tmp_path: Path) -> None:
    once = ran("weight_only", linear_models.perceptron(tmp_path / "net.onnx"), WeightOnlyConfig(), context)
    kept = tmp_path / "once.onnx"
    kept.write_bytes(once.state.path.read_bytes())
    with pytest.raises(NothingChanged, match="use either only once"):
        ran("weight_only", kept, WeightOnlyConfig(), context)


@pytest.mark.parametrize("per_channel", [True, False])
def test_linear_layers_multiply_in_8_bits_and_answer_nearly_as_before(
    per_channel: bool, context: Context, tmp_path: Path
) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx", transB=1)
    result = ran("dynamic_int8", path, DynamicInt8Config(per_channel=per_channel), context)
    assert result.log["layers"] == {"MatMul": 2} and operators(result)["MatMulInteger"] == 2
    assert result.log["sqnr_db"] > 20 and result.log["agreement"] > 0.9
    assert result.log["file_bytes"] < 0.5 * path.stat().st_size


def test_an_lstm_runs_in_8_bits(context: Context, tmp_path: Path) -> None:
    path = linear_models.recurrent(tmp_path / "net.onnx", "LSTM")
    result = ran("dynamic_int8", path, DynamicInt8Config(), context)
    assert result.log["layers"] == {"LSTM": 1, "MatMul": 1}
    assert operators(result)["DynamicQuantizeLSTM"] == 1 and result.log["sqnr_db"] > 20


def test_a_gru_stays_in_float_and_the_log_says_so(context: Context, tmp_path: Path) -> None:
    path = linear_models.recurrent(tmp_path / "net.onnx", "GRU")
    result = ran("dynamic_int8", path, DynamicInt8Config(), context)
    assert (result.log["layers"], result.log["in_float"]) == ({"MatMul": 1}, {"GRU": 1})


def test_a_network_of_layers_that_have_no_8_bit_kernel_is_an_error(context: Context, tmp_path: Path) -> None:
    model = onnx.load(linear_models.recurrent(tmp_path / "net.onnx", "GRU"))
    model.graph.node[-1].op_type = "Sub"
    del model.graph.node[-1].input[:]
    model.graph.node[-1].input.extend(["x", "head"])
    head = next(t for t in model.graph.initializer if t.name == "head")
    head.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, linear_models.HIDDEN), np.float32), "head"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = linear_models.HIDDEN
    path = saved(model, tmp_path / "gru.onnx")
    with pytest.raises(NothingChanged, match="no 8-bit kernel for its layers \\(1 GRU"):
        ran("dynamic_int8", path, DynamicInt8Config(), context)


def test_a_sample_is_answered_alike_whatever_else_is_asked(context: Context, tmp_path: Path) -> None:
    """Ranges over a batch would make the answers to it other than those that a device gives."""
    result = ran("dynamic_int8", linear_models.perceptron(tmp_path / "net.onnx"), DynamicInt8Config(), context)
    x = samples(context)
    session = GraphSession(result.state.path)
    np.testing.assert_array_equal(session.logits(x), np.concatenate([session.run(one[None]) for one in x]))


def test_answers_that_are_noise_are_refused(context: Context, tmp_path: Path) -> None:
    path = linear_models.perceptron(tmp_path / "net.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        other = np.random.default_rng(9).normal(size=tuple(tensor.dims)).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(other, tensor.name))
    spoilt = saved(model, tmp_path / "spoilt.onnx")
    x, name = samples(context)[:CHECKED_SAMPLES], model.graph.input[0].name
    with pytest.raises(StepError, match=r"s: the answers to 64 samples are noise .* use more bits"):
        check_runs("s", path, spoilt, asked(x, name), CLASSIFIER, Nearness(10, 0))
