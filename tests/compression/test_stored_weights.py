"""Weights of recurrent layers, tables, constants and graphs within nodes are stored in few bits, each once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ml_dtypes import bfloat16
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tests.compression import linear_models
from tests.compression.weighted_graphs import (
    GRAPHS,
    HIDDEN,
    INT64,
    ROWS,
    WIDTH,
    Weighted,
    branches,
    constant,
    info,
    loop,
    model,
    random,
    recurrent,
    tensor,
    tied,
)

from edgefleet_compression.grid import as_stored, by_output
from edgefleet_compression.measuring.measure import encoded_bytes
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.constants import lift_constants
from edgefleet_compression.onnx_graphs.folding import folded
from edgefleet_compression.onnx_graphs.graph import graphs, nodes, saved
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes
from edgefleet_compression.search.storage_settings import menu_for
from edgefleet_compression.step import Context, NothingChanged, StepResult
from edgefleet_compression.steps import pack, prune_unstructured, storage_quant
from edgefleet_compression.steps.pack import PackConfig
from edgefleet_compression.steps.prune_unstructured import PruneUnstructuredConfig
from edgefleet_compression.steps.storage_quant import StorageQuantConfig

KINDS = ("stem", "dense", "depthwise", "pointwise", "linear", "recurrent", "table")
INTEGERS = (onnx.TensorProto.INT8, onnx.TensorProto.INT4)


def in_bits(bits: int) -> StorageQuantConfig:
    return StorageQuantConfig.model_validate(dict.fromkeys(KINDS, bits))


def stored(made: onnx.ModelProto, config: StorageQuantConfig, context: Context, folder: Path) -> StepResult:
    own = replace(context, folder=folder)
    return storage_quant.run(OnnxState(saved(made, folder / "given.onnx")), config, own)


def answers(path: Path, weighted: Weighted) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, dict(feed))[0] for feed in weighted.feeds]


def integers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for one in graphs(graph) for t in one.initializer if t.data_type in INTEGERS}


def unfolded(graph: onnx.GraphProto) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The weights that a session unfolds, by nothing but their integers and scales, and the step of each number."""
    whole = integers(graph)
    every = {t.name: numpy_helper.to_array(t) for one in graphs(graph) for t in one.initializer}
    cast = {node.output[0]: node.input[0] for node in nodes(graph) if node.op_type == "Cast" and node.input[0] in whole}
    found = []
    for node in (node for node in nodes(graph) if node.op_type == "Mul" and node.input[0] in cast):
        numbers, scale = every[cast[node.input[0]]].astype(np.float32), every[node.input[1]]
        found.append((numbers * scale, np.broadcast_to(scale, numbers.shape)))
    return found


def brought(made: onnx.ModelProto) -> list[NDArray[np.float32]]:
    """The float weights of a model, stored or as constants, none twice."""
    tensors = [t for one in graphs(made.graph) for t in one.initializer]
    tensors += [a.t for node in nodes(made.graph) for a in node.attribute if node.op_type == "Constant"]
    values = [numpy_helper.to_array(t) for t in tensors if t.data_type == onnx.TensorProto.FLOAT]
    return list({v.tobytes(): v for v in values}.values())


def with_weights(made: onnx.ModelProto, new: dict[bytes, NDArray[np.float32]]) -> onnx.ModelProto:
    """The model with other weights in place of these."""
    other = onnx.ModelProto()
    other.CopyFrom(made)
    tensors = [t for one in graphs(other.graph) for t in one.initializer]
    tensors += [a.t for node in nodes(other.graph) for a in node.attribute if node.op_type == "Constant"]
    for t in tensors:
        values = new.get(numpy_helper.to_array(t).tobytes())
        if values is not None:
            t.CopyFrom(numpy_helper.from_array(values, t.name))
    return other


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("name", GRAPHS)
def test_weights_unfold_to_within_half_a_step_and_answer_as_if_they_had_been_so(
    name: str, bits: int, context: Context, tmp_path: Path
) -> None:
    weighted = GRAPHS[name]()
    result = stored(weighted.model, in_bits(bits), context, tmp_path)
    whole = [values for values in brought(weighted.model) if values.shape in weighted.stored]
    rounded: dict[bytes, NDArray[np.float32]] = {}
    for values, step in unfolded(onnx.load(result.state.path).graph):
        near = min((w for w in whole if w.shape == values.shape), key=lambda w: float(np.abs(values - w).max()))
        assert (np.abs(values - near) <= 0.5 * step * (1 + 1e-5)).all()
        rounded[near.tobytes()] = values
    assert len(rounded) == len(whole) == len(integers(onnx.load(result.state.path).graph)), "each once"
    assert sum(result.log["layers"].values()) == len(whole)
    biases = [values for values in brought(weighted.model) if values.shape not in weighted.stored]
    rounded |= {bias.tobytes(): bias.astype(bfloat16).astype(np.float32) for bias in biases}
    exact = saved(with_weights(weighted.model, rounded), tmp_path / "exact.onnx")
    for found, expected in zip(answers(result.state.path, weighted), answers(exact, weighted), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_encoding_shrinks_as_the_bits_do(name: str, context: Context, tmp_path: Path) -> None:
    made = GRAPHS[name]().model
    given = encoded_bytes(saved(made, tmp_path / "whole.onnx"))
    sizes = {bits: encoded_bytes(stored(made, in_bits(bits), context, tmp_path).state.path) for bits in (8, 4)}
    assert sizes[8] < 0.32 * given and sizes[4] < 0.2 * given and sizes[4] < 0.65 * sizes[8]


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_is_left_to_unfold_once_a_session_has_loaded(name: str, context: Context, tmp_path: Path) -> None:
    result = stored(GRAPHS[name]().model, in_bits(8), context, tmp_path)
    ready = folded(onnx.load(result.state.path), tmp_path / "folded.onnx")
    assert integers(ready.graph) == {} and Counter(node.op_type for node in nodes(ready.graph))["Mul"] == 0


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_stored_already_is_not_stored_again(name: str, context: Context, tmp_path: Path) -> None:
    once = onnx.load(stored(GRAPHS[name]().model, in_bits(8), context, tmp_path).state.path)
    with pytest.raises(NothingChanged, match="use it only once"):
        stored(once, in_bits(4), context, tmp_path)


def test_recurrent_weights_and_tables_take_the_bits_of_their_own_settings(context: Context, tmp_path: Path) -> None:
    few = in_bits(8).model_copy(update={"recurrent": 3})
    result = stored(recurrent("LSTM").model, few, context, tmp_path)
    assert (result.log["layers"], result.log["bits"]) == ({"recurrent": 2}, [3, 3])
    result = stored(tied().model, in_bits(3).model_copy(update={"table": 6}), context, tmp_path)
    assert (result.log["layers"], result.log["bits"]) == ({"table": 1}, [6]), "the most that a reader asks for"
    result = stored(tied().model, in_bits(6).model_copy(update={"table": 3}), context, tmp_path)
    assert result.log["bits"] == [6]


def test_bits_go_by_sensitivity_to_recurrent_weights_too(context: Context, tmp_path: Path) -> None:
    path = linear_models.recurrent(tmp_path / "net.onnx", "GRU")
    result = storage_quant.run(OnnxState(path), StorageQuantConfig(mean_bits=4), replace(context, folder=tmp_path))
    assert result.log["layers"] == {"recurrent": 2, "linear": 1} and min(result.log["bits"]) < 6
    x = inputs(context.source.data.read("test").arrays.x, 1 / 255)
    assert np.isfinite(GraphSession(result.state.path).logits(x)).all()


def test_a_weight_counts_outputs_by_the_axis_of_most_readers() -> None:
    square = [tensor("w", random(WIDTH, WIDTH))]
    given = [info("x", onnx.TensorProto.FLOAT, ["n", WIDTH]), info("i", INT64, ["n"])]
    looked_up = helper.make_node("Gather", ["w", "i"], ["row"])
    by_rows = helper.make_node("Gemm", ["x", "w"], ["a"], transB=1)
    by_columns = [helper.make_node("MatMul", ["x", "w"], [name]) for name in ("b", "c")]
    total = helper.make_node("Sum", ["row", "a"], ["y"])
    found = weighted_nodes(model([by_columns[0], looked_up, by_rows, total], given, square).graph)
    assert [(one.axes, one.kinds) for one in found] == [((0,), ("table", "linear"))]
    found = weighted_nodes(model([looked_up, *by_columns, total], given, square).graph)
    assert [(one.axes, one.kinds) for one in found] == [((1,), ("linear", "table"))]


def test_a_weight_is_seen_through_nodes_that_only_rename_or_turn_it() -> None:
    lines = [
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Transpose", ["same"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    found = weighted_nodes(
        model(lines, [info("x", onnx.TensorProto.FLOAT, ["n", WIDTH])], [tensor("w", random(HIDDEN, WIDTH))]).graph
    )
    assert [(one.name, one.axes) for one in found] == [("w", (0,))]


@pytest.mark.parametrize(
    ("rows", "axis", "places"),
    [(4, 0, "i"), (ROWS, 1, "i"), (ROWS, 0, "fixed"), (ROWS, 0, "told"), (ROWS, 0, "follows")],
)
def test_tables_that_are_small_or_read_at_fixed_places_are_left_alone(rows: int, axis: int, places: str) -> None:
    lines = [
        constant("told", np.arange(3)),
        helper.make_node("Add", ["told", "fixed"], ["follows"]),
        helper.make_node("Gather", ["table", places], ["y"], axis=axis),
    ]
    held = [tensor("table", random(rows, WIDTH)), tensor("fixed", np.arange(3))]
    assert weighted_nodes(model(lines, [info("i", INT64, ["n"])], held).graph) == []


def test_a_tensor_that_an_input_may_replace_is_no_weight() -> None:
    made = loop().model
    made.graph.input.append(info("outer", onnx.TensorProto.FLOAT, [WIDTH, HIDDEN]))
    assert [one.name for one in weighted_nodes(made.graph)] == ["own"]


def test_constants_become_stored_tensors_and_the_given_graph_stays_as_it_is() -> None:
    made = branches().model
    before = made.SerializeToString(deterministic=True)
    lifted = lift_constants(made.graph)
    assert made.SerializeToString(deterministic=True) == before
    kinds = Counter(node.op_type for node in nodes(lifted))
    assert kinds["Constant"] == 0 and kinds["MatMul"] == 5
    assert sorted(len(one.initializer) for one in graphs(lifted)) == [1, 1, 2], "the one that is alike lies outermost"


@pytest.mark.parametrize("alike", [True, False])
def test_branches_answer_the_same_after_their_constants_were_lifted(alike: bool, tmp_path: Path) -> None:
    weighted = branches(alike)
    whole = answers(saved(weighted.model, tmp_path / "given.onnx"), weighted)
    weighted.model.graph.CopyFrom(lift_constants(weighted.model.graph))
    for found, expected in zip(answers(saved(weighted.model, tmp_path / "l.onnx"), weighted), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_constant_that_a_graph_answers_with_stays_a_node() -> None:
    made = model([constant("y", random(WIDTH, WIDTH))], [], [])
    assert [node.op_type for node in lift_constants(made.graph).node] == ["Constant"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_before_opset_21_four_bits_take_a_byte_and_zstd_takes_it_out(
    kind: str, context: Context, tmp_path: Path
) -> None:
    old, new = (recurrent(kind, opset).model for opset in (17, 21))
    sizes = []
    for made in (old, new):
        path = stored(made, in_bits(4), context, tmp_path).state.path
        sizes.append(encoded_bytes(path))
        kept = {t.data_type for t in integers(onnx.load(path).graph).values()}
        assert kept == {onnx.TensorProto.INT8 if made is old else onnx.TensorProto.INT4}
    assert sizes[0] < 1.15 * sizes[1]


@pytest.mark.parametrize("opset", [17, 21])
def test_a_recurrent_file_packs_into_what_runs_the_same(opset: int, context: Context, tmp_path: Path) -> None:
    weighted = recurrent("GRU", opset)
    given = stored(weighted.model, in_bits(4), context, tmp_path).state
    packed = pack.run(given, PackConfig(two_bits=True), replace(context, folder=tmp_path)).state
    for found, expected in zip(answers(packed.path, weighted), answers(given.path, weighted), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_only_layers_are_pruned(context: Context, tmp_path: Path) -> None:
    path = linear_models.recurrent(tmp_path / "net.onnx", "LSTM")
    own = replace(context, folder=tmp_path)
    pruned = prune_unstructured.run(OnnxState(path), PruneUnstructuredConfig(sparsity=0.5), own).state
    zeros = {t.name: float((numpy_helper.to_array(t) == 0).mean()) for t in onnx.load(pruned.path).graph.initializer}
    assert zeros["head"] >= 0.5 and zeros["w"] == zeros["r"] == 0
    assert "sparsity" in menu_for({"linear", "recurrent"}).knobs
    assert set(menu_for({"recurrent", "table"}).knobs) == {"recurrent", "table", "mean_bits"}


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2)])
def test_a_weight_by_its_outputs_goes_back_to_where_it_was(axes: tuple[int, ...]) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    rows = by_output(values, axes)
    assert len(rows) == np.prod([values.shape[axis] for axis in axes])
    np.testing.assert_array_equal(as_stored(rows, axes, values.shape), values)
