"""What samples show of a graph: ranges that lose least, and biases that take back what rounding shifts."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tests.compression.asking import asked

from edgefleet_compression.onnx_graphs.activations import Seen, least_error, observe
from edgefleet_compression.onnx_graphs.biases import correct_biases, give_biases
from edgefleet_compression.onnx_graphs.int8 import quantize
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.steps.static_int8 import StaticInt8Config

CHANNELS, SIDE, SAMPLES = 4, 8, 64
Array = NDArray[np.float32]


@pytest.fixture
def x() -> Array:
    return np.random.default_rng(0).uniform(0, 6, (SAMPLES, CHANNELS, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def depthwise() -> onnx.ModelProto:
    """A depthwise layer without a bias: beside one large weight, eight that 8 bits round to nothing."""
    weight = np.full((CHANNELS, 1, 3, 3), 0.45 / 127, np.float32)
    weight[:, :, 1, 1] = 1.0
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv", group=CHANNELS, pads=[1, 1, 1, 1])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", CHANNELS, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", CHANNELS, SIDE, SIDE])],
        [numpy_helper.from_array(weight, "w")],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def answers(model: onnx.ModelProto, x: Array, path: Path) -> Array:
    onnx.save(model, path)
    return GraphSession(path).logits(x)


def test_a_bias_takes_back_what_rounding_shifts(depthwise: onnx.ModelProto, x: Array, tmp_path: Path) -> None:
    give_biases(depthwise)
    whole = answers(depthwise, x, tmp_path / "float.onnx")
    quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx", asked(x), StaticInt8Config(), Scheme("u8"))
    model = onnx.load(tmp_path / "int8.onnx")
    before = abs(float((answers(model, x, tmp_path / "before.onnx") - whole).mean()))
    assert correct_biases(model, depthwise, observe(depthwise, asked(x))) == 1
    after = abs(float((answers(model, x, tmp_path / "after.onnx") - whole).mean()))
    assert after < before / 5


def test_a_layer_without_a_bias_gets_one_that_changes_nothing(
    depthwise: onnx.ModelProto, x: Array, tmp_path: Path
) -> None:
    before = answers(depthwise, x, tmp_path / "before.onnx")
    give_biases(depthwise)
    assert len(depthwise.graph.node[0].input) == 3
    np.testing.assert_allclose(answers(depthwise, x, tmp_path / "after.onnx"), before, atol=1e-5)


def test_the_mean_and_the_range_are_those_of_all_samples(depthwise: onnx.ModelProto, x: Array) -> None:
    seen = observe(depthwise, asked(x))["x"]
    assert (seen.low, seen.high) == (float(x.min()), float(x.max()))
    assert seen.mean is not None
    np.testing.assert_allclose(seen.mean, x.mean(0), rtol=1e-5)


def test_a_rare_large_value_is_clipped_and_an_even_spread_is_not() -> None:
    even = np.random.default_rng(0).uniform(0, 6, 10_000).astype(np.float32)
    rare = np.concatenate([np.random.default_rng(0).normal(0, 1, 100_000), [40.0]]).astype(np.float32)
    assert least_error(Seen(even, 0.0, 6.0, None)) == (0.0, pytest.approx(6.0, rel=0.05))
    assert least_error(Seen(rare, float(rare.min()), 40.0, None))[1] < 0.9 * 40


def test_a_tensor_that_never_changes_has_a_range_of_nothing() -> None:
    assert least_error(Seen(np.zeros(10, np.float32), 0.0, 0.0, None)) == (0.0, 0.0)


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile", "mse"])
def test_nothing_is_written_beside_a_source_that_others_may_read(
    depthwise: onnx.ModelProto, x: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibration: str
) -> None:
    source = tmp_path / "cached" / "model.onnx"
    source.parent.mkdir()
    onnx.save(depthwise, source)
    written: list[Path] = []
    infer = onnx.shape_inference.infer_shapes_path

    def noting(read: str, to: str) -> None:
        written.append(Path(to).parent)
        infer(read, to)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes_path", noting)
    quantize(source, tmp_path / "int8.onnx", asked(x), StaticInt8Config(calibration=calibration), Scheme("u8"))
    assert written and source.parent not in written
    assert [path.name for path in source.parent.iterdir()] == ["model.onnx"]
