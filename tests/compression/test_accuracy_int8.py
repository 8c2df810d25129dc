"""Int8 that keeps in float what would cost too much, and no more than that."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.compression.contexts import context_in

from edgefleet_compression.errors import StepError
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import Context
from edgefleet_compression.steps import accuracy_int8, export, finetune, static_int8
from edgefleet_compression.steps.accuracy_int8 import AccuracyInt8Config
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.static_int8 import StaticInt8Config

HUGE = np.float32(3000)


@pytest.fixture(scope="module")
def file(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> OnnxState:
    """The tiny model after more training: what it knows, rounding can ruin."""
    context = context_in(tmp_path_factory.mktemp("file"), tiny_files)
    config = FinetuneConfig(epochs=6, batch=32, rate=5e-3, flip=False, alpha=0.0)
    trained = finetune.run(context.source.state, config, context).state
    state: OnnxState = export.run(trained, ExportConfig(), context).state
    return state


@pytest.fixture
def lopsided(file: OnnxState, tmp_path: Path) -> OnnxState:
    """The same answers in float, but one channel of a layer is so large that 8 bits leave nothing of the others."""
    model = onnx.load(file.path)
    inner, following = [node for node in model.graph.node if node.op_type == "Conv"][1:3]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}

    def scale(name: str, index: tuple[slice | int, ...], factor: np.float32) -> None:
        values = onnx.numpy_helper.to_array(stored[name]).copy()
        values[index] *= factor
        stored[name].CopyFrom(onnx.numpy_helper.from_array(values, name))

    for name in inner.input[1:]:
        scale(name, (0,), HUGE)
    scale(following.input[1], (slice(None), 0), 1 / HUGE)
    onnx.save(model, tmp_path / "lopsided.onnx")
    return OnnxState(tmp_path / "lopsided.onnx")


def share(path: Path, context: Context) -> float:
    val = context.source.data.read("val").arrays
    return float((GraphSession(path).logits(inputs(val.x, 1 / 255)).argmax(1) == val.labels()).mean())


def own(context: Context, folder: Path) -> Context:
    folder.mkdir()
    return Context(context.source, Scheme("u8"), 0, folder, context.progress)


def test_where_int8_loses_nothing_every_layer_is_int8(file: OnnxState, context: Context, tmp_path: Path) -> None:
    log = accuracy_int8.run(file, AccuracyInt8Config(max_drop=0.05), own(context, tmp_path / "own")).log
    assert log["in_float"] == 0 and log["layers"] > 5


def test_a_layer_that_8_bits_would_ruin_stays_in_float(lopsided: OnnxState, context: Context, tmp_path: Path) -> None:
    whole = share(lopsided.path, context)
    plain = static_int8.run(lopsided, StaticInt8Config(per_channel=False), own(context, tmp_path / "plain"))
    assert share(plain.state.path, context) < whole - 0.05
    config = AccuracyInt8Config(per_channel=False, max_drop=0.03)
    result = accuracy_int8.run(lopsided, config, own(context, tmp_path / "own"))
    assert share(result.state.path, context) >= whole - 0.03
    assert 0 < result.log["in_float"] < result.log["layers"] / 2
    assert result.log["drop_all_int8"] > 0.05
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(result.state.path).graph.node}


def test_a_target_that_too_few_layers_may_reach_is_refused(
    lopsided: OnnxState, context: Context, tmp_path: Path
) -> None:
    config = AccuracyInt8Config(per_channel=False, max_drop=0.03, most_float=0.0)
    with pytest.raises(StepError, match="raise max_drop or most_float"):
        accuracy_int8.run(lopsided, config, own(context, tmp_path / "own"))


def test_ranges_may_leave_out_what_is_rare(file: OnnxState, context: Context, tmp_path: Path) -> None:
    config = StaticInt8Config(calibration="percentile", percentile=95.0)
    clipped = static_int8.run(file, config, own(context, tmp_path / "clipped")).state
    config = StaticInt8Config(calibration="entropy")
    informed = static_int8.run(file, config, own(context, tmp_path / "informed")).state
    whole = static_int8.run(file, StaticInt8Config(), own(context, tmp_path / "whole")).state

    def scales(state: OnnxState) -> float:
        model = onnx.load(state.path)
        stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        return float(sum(stored[n.input[1]] for n in model.graph.node if n.op_type == "QuantizeLinear"))

    assert scales(clipped) < scales(whole)
    assert scales(informed) < scales(whole)


def last(path: Path) -> str:
    graph = onnx.load(path).graph
    return next(node.op_type for node in graph.node if graph.output[0].name in node.output)


def test_answers_are_not_rounded(file: OnnxState, context: Context, tmp_path: Path) -> None:
    plain = static_int8.run(file, StaticInt8Config(), own(context, tmp_path / "plain"))
    controlled = accuracy_int8.run(file, AccuracyInt8Config(max_drop=1.0), own(context, tmp_path / "own"))
    assert last(plain.state.path) == "DequantizeLinear"
    assert last(controlled.state.path) == "Gemm"


def test_the_ranges_are_taken_that_lose_less(lopsided: OnnxState, context: Context, tmp_path: Path) -> None:
    def log(folder: str, **settings: object) -> dict[str, object]:
        config = AccuracyInt8Config(per_channel=False, max_drop=1.0, **settings)
        return dict(accuracy_int8.run(lopsided, config, own(context, tmp_path / folder)).log)

    mse, minmax = log("mse", compare_minmax=False), log("minmax", compare_minmax=False, calibration="minmax")
    compared, better = log("both"), min(mse, minmax, key=lambda one: float(str(one["drop"])))
    assert (mse["calibration"], minmax["calibration"]) == ("mse", "minmax")
    assert (compared["drop"], compared["calibration"]) == (better["drop"], better["calibration"])


def test_what_is_said_to_be_lost_is_what_the_file_loses(lopsided: OnnxState, context: Context, tmp_path: Path) -> None:
    config = AccuracyInt8Config(per_channel=False, max_drop=1.0)
    result = accuracy_int8.run(lopsided, config, own(context, tmp_path / "own"))
    lost = share(lopsided.path, context) - share(result.state.path, context)
    assert result.log["in_float"] == 0
    assert result.log["drop"] == result.log["drop_all_int8"] == pytest.approx(lost, abs=1e-4)


def test_a_loss_that_is_just_allowed_on_few_samples_is_too_much(
    lopsided: OnnxState, context: Context, tmp_path: Path
) -> None:
    free = AccuracyInt8Config(per_channel=False, max_drop=1.0)
    lost = accuracy_int8.run(lopsided, free, own(context, tmp_path / "free")).log["drop"]
    just = free.model_copy(update={"max_drop": lost})
    assert lost > 0
    assert accuracy_int8.run(lopsided, just, own(context, tmp_path / "just")).log["in_float"] > 0
