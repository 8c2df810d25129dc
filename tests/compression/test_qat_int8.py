"""A network that learns with the rounding of static int8, and the file that then rounds just so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edgefleet_compression.errors import StepError
from edgefleet_compression.models.states import OnnxState, TorchState, load_state
from edgefleet_compression.networks.architectures import build
from edgefleet_compression.networks.rounding import fold, traced
from edgefleet_compression.onnx_graphs.ranges import ranges_of
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.onnx_graphs.stripping import strip
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import Context
from edgefleet_compression.steps import export, finetune, qat_int8, static_int8
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.qat_int8 import QatInt8Config
from edgefleet_compression.steps.static_int8 import StaticInt8Config

pytestmark = pytest.mark.torch


FAST: dict[str, Any] = {"epochs": 1, "batch": 32, "flip": False}
SCHEMES = {"u8": Scheme("u8"), "u8-reduced": Scheme("u8", reduce_range=True), "s8": Scheme("s8")}
ALWAYS = {("minmax", "u8"), ("percentile", "u8-reduced")}
"""Each calibration once, on two of the schemes: an export takes seconds."""
GRIDS = [
    pytest.param(
        calibration,
        scheme,
        id=f"{calibration}-{name}",
        marks=() if (calibration, name) in ALWAYS else pytest.mark.slow,
    )
    for calibration in ("minmax", "percentile")
    for name, scheme in SCHEMES.items()
]
Grids = dict[str, tuple[float, int]]


def own(context: Context, folder: Path, scheme: Scheme | None = None) -> Context:
    folder.mkdir(exist_ok=True)
    return replace(context, folder=folder, scheme=scheme or context.scheme)


def grids(state: OnnxState) -> Grids:
    """Scale and zero point of each activation that is rounded."""
    model = onnx.load(state.path)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    rounding = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {n.input[0]: (float(stored[n.input[1]]), int(stored[n.input[2]])) for n in rounding}


def weights(state: OnnxState) -> list[Any]:
    model = onnx.load(state.path)
    stored = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    return [a for a in stored if a.dtype == np.int8 and a.ndim > 1]


@pytest.mark.parametrize(("calibration", "scheme"), GRIDS)
def test_the_file_rounds_on_the_grid_of_the_training(
    calibration: Any, scheme: Scheme, context: Context, tmp_path: Path
) -> None:
    trained: TorchState = qat_int8.run(
        context.source.state, QatInt8Config(**FAST), own(context, tmp_path / "a", scheme)
    ).state
    file = export.run(trained, ExportConfig(), own(context, tmp_path / "b", scheme)).state
    config = StaticInt8Config(calibration=calibration)
    small = static_int8.run(file, config, own(context, tmp_path / "c", scheme)).state
    spans = {(low, high) for low, high in trained.ranges.values()}
    least = 0 if scheme.activation == "u8" else -128
    wanted = sorted((high - low) / 255 for low, high in spans)
    found = grids(small)
    assert len(found) == len(trained.ranges)
    np.testing.assert_allclose(sorted(scale for scale, _ in found.values()), wanted, rtol=1e-5)
    assert {zero for _, zero in found.values()} == {least - round(low / ((high - low) / 255)) for low, high in spans}
    assert max(int(np.abs(w).max()) for w in weights(small)) == (64 if scheme.reduce_range else 127)


def test_the_file_answers_as_the_network_did_while_it_learned(context: Context, tmp_path: Path) -> None:
    config = FinetuneConfig(epochs=4, batch=32, rate=5e-3, flip=False)
    source = finetune.run(context.source.state, config, context).state
    result = qat_int8.run(source, QatInt8Config(**FAST), own(context, tmp_path / "a"))
    file = export.run(result.state, ExportConfig(), own(context, tmp_path / "b")).state
    small = static_int8.run(file, StaticInt8Config(), own(context, tmp_path / "c")).state
    val = context.source.data.read("val").arrays
    right = (GraphSession(small.path).logits(inputs(val.x, 1 / 255)).argmax(1) == val.labels()).mean()
    assert right == pytest.approx(result.log["val"], abs=0.02)
    assert result.log["val"] >= result.log["val_before"] - 0.05


@pytest.mark.slow
def test_a_weight_of_the_file_is_the_integer_that_training_left_it_on(context: Context, tmp_path: Path) -> None:
    trained = qat_int8.run(context.source.state, QatInt8Config(per_channel=False, **FAST), context).state
    file = export.run(trained, ExportConfig(), own(context, tmp_path / "b")).state
    small = static_int8.run(file, StaticInt8Config(per_channel=False), own(context, tmp_path / "c")).state
    stem = trained.module.stem.weight.detach().numpy()
    integers = stem / (np.abs(stem).max() / 127)
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-3)
    assert any(np.array_equal(w, np.rint(integers)) for w in weights(small))


@pytest.mark.slow
def test_the_exported_file_is_the_float_network_and_remembers_the_ranges(context: Context, tmp_path: Path) -> None:
    trained = qat_int8.run(context.source.state, QatInt8Config(**FAST), context).state
    file = export.run(trained, ExportConfig(), own(context, tmp_path / "b")).state
    model = onnx.load(file.path)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in model.graph.node}
    assert len(ranges_of(model)) == len(trained.ranges)
    strip(model)
    assert not ranges_of(model)


def test_ranges_come_back_from_disk_and_belong_to_just_those_weights(context: Context, tmp_path: Path) -> None:
    trained = qat_int8.run(context.source.state, QatInt8Config(**FAST), context).state
    trained.save(tmp_path)
    back = load_state(tmp_path)
    assert isinstance(back, TorchState) and back.ranges == trained.ranges and back.digest() == trained.digest()
    assert not finetune.run(trained, FinetuneConfig(**FAST), context).state.ranges


@pytest.mark.parametrize("name", ["resnet_s", "ds_cnn"])
def test_folding_norms_changes_no_answer(name: str) -> None:
    module = build(name, {}, (1, 8, 8), 3, seed=2)
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(16, 1, 8, 8))
    x = torch.randn(4, 1, 8, 8)
    with torch.inference_mode():
        before = module.eval()(x)
        shifts = fold(traced(module))
        after = module(x)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)
    assert len(shifts) == sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in module.modules())


def test_an_instruction_set_without_a_scheme_is_refused(context: Context) -> None:
    with pytest.raises(StepError, match="no int8 scheme"):
        qat_int8.run(context.source.state, QatInt8Config(**FAST), replace(context, scheme=None))


def test_a_network_that_decides_as_it_runs_is_refused() -> None:
    class Undecided(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(StepError, match="graph cannot be traced"):
        traced(Undecided())
