"""A look at an ONNX file passes over its large weights, and sees everything else as a reader of the whole does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from benchmarks.large_model import write_large_model
from onnx import TensorProto, helper, numpy_helper
from tests.compression.brought_models import classifier, written
from tests.compression.weighted_graphs import HIDDEN, WIDTH, branches, constant, info, model
from tests.memory import grown_mb

from edgefleet_compression.errors import GraphError
from edgefleet_compression.models.door.brought import check_graph
from edgefleet_compression.onnx_graphs.batches import answering
from edgefleet_compression.onnx_graphs.graph import parameters, tensors, unfolded_bytes
from edgefleet_compression.onnx_graphs.skim import is_skipped, skim, with_ir_version

MB = 2**20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 MB of weights, and 17 more in layers at both ends."""
    return write_large_model(tmp_path_factory.mktemp("large"), 64)[0]


def test_a_small_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    assert skim(path) == onnx.load(path)


def test_only_the_bytes_of_large_weights_are_missing(large: Path) -> None:
    seen, whole = skim(large), onnx.load(large)
    assert [is_skipped(weight) for weight in seen.graph.initializer] == [True, True, False]
    for weight in filter(is_skipped, tensors(seen.graph)):
        (same,) = (one for one in whole.graph.initializer if one.name == weight.name)
        weight.raw_data = same.raw_data
    assert seen == whole


def test_large_constants_within_nodes_are_passed_over_too(tmp_path: Path) -> None:
    model = classifier()
    constant = numpy_helper.from_array(np.zeros((300, 300), np.float32), "c")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=constant))
    (skipped,) = filter(is_skipped, tensors(skim(written(model, tmp_path)).graph))
    assert list(skipped.dims) == [300, 300]


def test_what_is_said_of_a_large_file_needs_no_weights(large: Path) -> None:
    whole = onnx.load(large)
    assert check_graph(large).parameters == parameters(whole.graph) == parameters(skim(large).graph)
    assert unfolded_bytes(large) == sum(len(weight.raw_data) for weight in whole.graph.initializer)


def test_weights_that_a_file_writes_as_constants_count_too(tmp_path: Path) -> None:
    """As nodes of both branches: each session holds them, however they are written."""
    weighted = branches(alike=False)
    large = WIDTH * HIDDEN + HIDDEN * (HIDDEN + 1)
    numbers = 2 * large + (HIDDEN + 1) * 32
    assert parameters(weighted.model.graph) == numbers
    assert unfolded_bytes(written(weighted.model, tmp_path)) == 4 * numbers
    half = helper.make_node("Cast", ["half"], ["whole"], to=TensorProto.FLOAT)
    stored = constant("half", np.ones((30, 30), np.float16))
    product = helper.make_node("MatMul", ["x", "whole"], ["y"])
    cast = model([stored, half, product], [info("x", TensorProto.FLOAT, ["n", 30])], [])
    assert unfolded_bytes(written(cast, tmp_path)) == 4 * 900


def test_a_large_weight_of_another_size_than_its_shape_says_is_refused_by_name(tmp_path: Path) -> None:
    model = classifier()
    model.graph.initializer.append(TensorProto(name="short", data_type=TensorProto.FLOAT, dims=[400, 400]))
    model.graph.initializer[-1].raw_data = bytes(400 * 400 * 4 - 4)
    with pytest.raises(GraphError, match=r"the weight 'short' cannot be read \(it holds 639,996 bytes, .* 640,000\)"):
        check_graph(written(model, tmp_path))


@pytest.mark.parametrize("content", [b"\x3a\xff\xff\xff\xff\x07", b"\x3b\x00", b"\x00\x00", b"\x08" + b"\xff" * 11])
def test_what_is_no_row_of_fields_is_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(GraphError, match="this is not an ONNX file"):
        skim(tmp_path / "m.onnx")


def test_graphs_within_graphs_without_end_are_refused(tmp_path: Path) -> None:
    inner = b"\x42" + _length(70_000) + bytes(70_000)
    for _ in range(60):  # a graph holds a node, that an attribute, and that a graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # from within
            inner = tag + _length(len(inner)) + inner
    (tmp_path / "m.onnx").write_bytes(b"\x3a" + _length(len(inner)) + inner)
    with pytest.raises(GraphError, match="this is not an ONNX file"):
        skim(tmp_path / "m.onnx")


def _length(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


@pytest.mark.parametrize(("given", "expected"), [(12, 10), (8, 8)])
def test_a_file_is_passed_on_with_an_ir_version_that_devices_know(given: int, expected: int, tmp_path: Path) -> None:
    model = classifier()
    model.ir_version = given
    copy = tmp_path / "copy.onnx"
    with_ir_version(written(model, tmp_path), copy, 10)
    model.ir_version = expected
    assert onnx.load(copy) == model


def test_checking_a_large_file_takes_little_memory(large: Path) -> None:
    before = "from edgefleet_compression.models.door.brought import check_graph\n"
    before += "from edgefleet_compression.onnx_graphs.runtime import newest_opset\nnewest_opset()\n"  # asks a session
    assert grown_mb(before, f"check_graph(Path({str(large)!r}))", large.parent) < 16


def test_how_many_samples_a_large_file_takes_is_judged_as_that_of_a_small_one(large: Path, tmp_path: Path) -> None:
    from edgefleet_compression.onnx_graphs.batches import _by_shapes

    sample = {"x": np.zeros((1, 1, 8, 8), np.float32)}
    assert _by_shapes(large, sample, 100_000) == answering(large, sample, 100_000) > 1
    nonzero = helper.make_node("NonZero", ["x"], ["found"])  # how many there are depends on the values
    model = classifier()
    model.graph.node.insert(1, nonzero)
    assert _by_shapes(written(model, tmp_path), sample, 250) == 1
