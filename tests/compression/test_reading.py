"""Which axes are the batch is found by running: a leading axis may be time, and an output's batch may be elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.models.door.reading import Reading, as_sampled, settled
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.samples import Column, Samples
from edgefleet_protocol.signature import Signature

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
RNG = np.random.default_rng(0)
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Writes a graph to a file."""

    def make(nodes: list[Any], inputs: list[Any], outputs: list[Any], *weights: Any) -> Path:
        infos = [[helper.make_tensor_value_info(*one) for one in side] for side in (inputs, outputs)]
        graph = helper.make_graph(nodes, "made", *infos, list(weights))
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
        return path

    return make


def samples(**columns: Any) -> Samples:
    return Samples({name: Column(np.asarray(values)) for name, values in columns.items()})


def read(path: Path, x: Samples) -> Reading:
    plain = ModelSession(path)
    signature = as_sampled(plain.signature, {name: column.row(0).ndim for name, column in x.columns.items()})
    return settled(plain.knowing(signature), Asked(x, signature, False))


def answers(path: Path, x: Samples, signature: Signature, *, batches: bool = False) -> Answered:
    return GraphSession(path).answered(Asked(x, signature, batches))


def test_a_batch_that_answers_as_samples_do_is_one(made: Made) -> None:
    w = numpy_helper.from_array(RNG.normal(size=(4, 3)).astype(np.float32), "w")
    path = made([helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], w)
    x = samples(x=RNG.random((5, 4), np.float32))
    reading = read(path, x)
    assert reading.batches and not reading.guesses
    alone, together = (answers(path, x, reading.signature, batches=batches) for batches in (False, True))
    assert [[one.shape for one in outputs] for outputs in together] == [[(1, 3)]] * 5
    np.testing.assert_allclose(np.concatenate([o[0] for o in alone]), np.concatenate([o[0] for o in together]), 1e-5)


def test_a_leading_axis_that_is_time_is_no_batch(made: Made) -> None:
    path = made(
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        [("x", FLOAT, ["n", 4])],
        [("y", FLOAT, ["n", 4])],
        numpy_helper.from_array(np.array(0), "axis"),
    )
    x = samples(x=RNG.random((5, 4), np.float32) + 1)
    reading = read(path, x)
    assert not reading.batches and "answers otherwise" in reading.guesses[0]
    whole = samples(x=RNG.random((5, 7, 4), np.float32))
    reading = read(path, whole)
    assert not reading.batches and not reading.signature.inputs[0].batched and not reading.signature.outputs[0].batched


def test_equal_samples_do_not_hide_that_samples_of_a_batch_change_each_other(made: Made) -> None:
    path = made(
        [helper.make_node("ReduceMax", ["x"], ["m"], axes=[0]), helper.make_node("Sum", ["x", "m"], ["y"])],
        [("x", FLOAT, ["n", 4])],
        [("y", FLOAT, ["n", 4])],
    )
    different = RNG.random((9, 4), np.float32)
    for x in (different[[0] * 8 + [1]], different[[0, 0, 0]], different[[0]]):
        reading = read(path, samples(x=x))
        assert not reading.batches and "answers otherwise" in reading.guesses[0]


def test_a_model_that_answers_all_samples_alike_is_asked_one_at_a_time(made: Made) -> None:
    path = made(
        [helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])],
        [("x", FLOAT, ["n", 4])],
        [("y", FLOAT, ["n", 4])],
    )
    reading = read(path, samples(x=RNG.random((5, 4), np.float32)))
    assert not reading.batches and "answers all those tried alike" in reading.guesses[0]


def test_an_output_may_have_the_batch_elsewhere(made: Made) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2])]
    path = made(nodes, [("x", FLOAT, ["n", 6, 2])], [("y", FLOAT, [6, "n", 2])])
    x = samples(x=RNG.random((3, 6, 2), np.float32))
    reading = read(path, x)
    assert reading.batches and (reading.signature.outputs[0].batched, reading.signature.outputs[0].batch_axis) == (
        True,
        1,
    )
    found = answers(path, x, reading.signature, batches=True)
    np.testing.assert_array_equal(np.concatenate([outputs[0] for outputs in found]), x.columns["x"].values)


def test_a_batch_of_one_is_asked_one_at_a_time(made: Made) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["z"], keepdims=0)]
    path = made(nodes, [("x", FLOAT, [1, 4])], [("y", FLOAT, [1, 4]), ("z", FLOAT, [])])
    x = samples(x=RNG.random((3, 4), np.float32))
    reading = read(path, x)
    assert not reading.batches and [tensor.batched for tensor in reading.signature.outputs] == [True, False]
    found = answers(path, x, reading.signature)
    assert [[one.shape for one in outputs] for outputs in found] == [[(1, 4), (1,)]] * 3


def test_several_inputs_scalars_and_texts_are_asked(made: Made) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["rate"], ["rate_f"], to=FLOAT),
        helper.make_node("Mul", ["mean", "rate_f"], ["y"]),
        helper.make_node("Identity", ["word"], ["word back"]),
    ]
    table = numpy_helper.from_array(RNG.normal(size=(10, 3)).astype(np.float32), "table")
    inputs = [("ids", INT64, ["n", "time"]), ("rate", INT64, []), ("word", STRING, ["n"])]
    path = made(nodes, inputs, [("y", FLOAT, ["n", 3]), ("word back", STRING, ["n"])], table)
    x = samples(ids=RNG.integers(0, 10, (3, 5)), rate=[1, 2, 3], word=np.array(["a", "bb", ""], object))
    reading = read(path, x)
    assert not reading.batches, "the rate has no batch"
    found = answers(path, x, reading.signature)
    assert [outputs[1].tolist() for outputs in found] == [["a"], ["bb"], [""]]
    np.testing.assert_allclose(
        found[2][0][0], 3 * numpy_helper.to_array(table)[x.columns["ids"].values[2]].mean(0), 1e-5
    )


def test_a_batch_is_found_also_by_samples_of_several_lengths(made: Made) -> None:
    path = made([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", "t"])], [("y", FLOAT, ["n", "t"])])
    x = Samples({"x": Column(np.arange(6, dtype=np.float32), lengths=np.array([1, 2, 3]))})
    reading = read(path, x)
    assert reading.batches and reading.signature.inputs[0].shape == ("n", "t")
    assert [outputs[0].shape for outputs in answers(path, x, reading.signature)] == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]


def test_a_batch_that_the_model_cannot_run_is_said(made: Made) -> None:
    path = made(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [("x", FLOAT, ["n", 4])],
        [("y", FLOAT, [1, 2, 2])],
        numpy_helper.from_array(np.array([1, 2, 2]), "shape"),
    )
    x = samples(x=RNG.random((3, 4), np.float32))
    reading = read(path, x)
    assert not reading.batches and "asked two at once, the model fails" in reading.guesses[0]


@pytest.mark.parametrize(("shape", "says"), [((3,), "has 0 axes and the model takes"), ((3, 2, 2, 2), "has 3 axes")])
def test_samples_of_another_rank_are_refused(made: Made, shape: tuple[int, ...], says: str) -> None:
    path = made([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    with pytest.raises(GraphError, match=says):
        read(path, samples(x=np.zeros(shape, np.float32)))


def test_a_model_that_does_not_run_is_refused_in_one_line(made: Made) -> None:
    path = made([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    x = samples(x=np.zeros((2, 5), np.float32))
    with pytest.raises(GraphError, match="onnxruntime cannot run the file") as refused:
        read(path, x)
    assert "\n" not in str(refused.value)
