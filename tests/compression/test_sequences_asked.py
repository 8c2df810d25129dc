"""Samples that are sequences: asked step by step with the state of the last one, and whole whatever is measured."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.judging import Judge
from edgefleet_compression.onnx_graphs.activations import observe
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.int8 import quantize
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes
from edgefleet_compression.samples import Column, RawLabels, Samples
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.sensitivity import sensitivity
from edgefleet_compression.step_settings import Int8Config
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState, StatePair
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.step_labels import StepLabels

HIDDEN, WIDTH = 16, 8
STATE = SequenceState((StatePair("h", "hn"),))
H = Tensor("h", "FP32", (1, 1, HIDDEN), batched=False)
SIGNATURE = Signature(
    (Tensor("x", "FP32", (1, WIDTH)), H),
    (Tensor("hn", "FP32", (1, 1, HIDDEN), batched=False), Tensor("y", "FP32", (1, 3))),
)
LENGTHS = np.array([5, 3, 7, 4], np.int64)
X = np.random.default_rng(0).normal(size=(LENGTHS.sum(), WIDTH)).astype(np.float32)


def gru(folder: Path) -> Path:
    """x [1,8], h [1,1,16] -> hn, y [1,3]: one step of a GRU, and a linear layer."""
    rng = np.random.default_rng(1)
    weights = {"w": (1, 3 * HIDDEN, WIDTH), "r": (1, 3 * HIDDEN, HIDDEN), "out": (HIDDEN, 3)}
    initializers = [numpy_helper.from_array(rng.normal(0, 0.5, s).astype(np.float32), n) for n, s in weights.items()]
    initializers += [numpy_helper.from_array(np.array([0], np.int64), "axes")]
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["steps"]),
        helper.make_node("GRU", ["steps", "w", "r", "", "", "h"], ["", "hn"], name="gru", hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["hn", "axes"], ["last"]),
        helper.make_node("MatMul", ["last", "out"], ["y"], name="out"),
    ]
    values = {t.name: helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.shape) for t in SIGNATURE.inputs}
    values |= {t.name: helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.shape) for t in SIGNATURE.outputs}
    given, gives = [values[t.name] for t in SIGNATURE.inputs], [values[t.name] for t in SIGNATURE.outputs]
    graph = helper.make_graph(nodes, "gru", given, gives, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / "gru.onnx"
    onnx.save(model, path)
    return path


def stepped(path: Path) -> list[Any]:
    """The answers to each step of all sequences, by onnxruntime alone."""
    session, found = onnxruntime.InferenceSession(str(path)), []
    for sequence in np.split(X, np.cumsum(LENGTHS)[:-1]):
        h = np.zeros((1, 1, HIDDEN), np.float32)
        for x in sequence:
            h, y = session.run(["hn", "y"], {"x": x[None], "h": h})
            found.append(y)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return gru(tmp_path)


@pytest.fixture
def asked() -> Asked:
    return Asked(Samples({"x": Column(X, LENGTHS)}), SIGNATURE, batches=False, state=STATE)


def test_answers_are_those_to_every_step_without_the_state(path: Path, asked: Asked) -> None:
    found = GraphSession(path).answered(asked)
    assert [len(outputs) for outputs in found] == [1] * LENGTHS.sum()
    np.testing.assert_array_equal(np.concatenate([outputs[0] for outputs in found]), np.concatenate(stepped(path)))
    assert asked.steps.tolist() == LENGTHS.tolist()


def test_the_first_sample_alone_is_its_first_step_with_zeros(path: Path, asked: Asked) -> None:
    one = asked.one(1)
    assert (one["x"].tolist(), one["h"].any()) == ([X[5].tolist()], False)
    assert onnxruntime.InferenceSession(str(path)).run(["y"], dict(one))[0].shape == (1, 3)


def test_nobody_asks_a_step_without_its_state(asked: Asked) -> None:
    with pytest.raises(ValueError, match="step by step"):
        next(asked.feeds(8))


def test_activations_are_those_of_all_steps(path: Path, asked: Asked) -> None:
    seen = observe(onnx.load(path), asked)
    states = [one["h"] for one, _, _ in asked.asks(onnx_run(path), ["hn", "y"], 8)]
    assert (seen["h"].low, seen["h"].high) == (np.min(states), np.max(states))
    assert seen["h"].high > 0  # zeros are the first steps' alone
    mean = np.mean(np.concatenate(stepped(path)), axis=0)
    assert seen["y"].mean == pytest.approx(mean, abs=1e-5)


def onnx_run(path: Path) -> Any:
    session = onnxruntime.InferenceSession(str(path))
    return lambda feed: session.run(["hn", "y"], dict(feed))


@pytest.mark.parametrize("calibration", ["minmax", "percentile"])
def test_ranges_for_8_bits_come_from_all_steps(path: Path, asked: Asked, calibration: Any, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    scheme = Scheme(activation="u8", weight="s8", reduce_range=True)
    quantize(path, target, asked, Int8Config(calibration=calibration), scheme)
    exact, changed = stepped(path), [outputs[0] for outputs in GraphSession(target).answered(asked)]
    assert np.abs(np.concatenate(changed) - np.concatenate(exact)).max() < 0.1


def test_a_recurrent_weight_is_judged_over_whole_sequences(path: Path, asked: Asked, tmp_path: Path) -> None:
    model = onnx.load(path)
    [layer] = [one for one in weighted_nodes(model.graph) if one.values().size == 3 * HIDDEN * HIDDEN]
    judge = Judge(task_named("classification"), Spec(width=3))
    found = sensitivity(model, [layer], asked, judge, tmp_path, lambda *_: None)[layer.name]
    assert found[2] > found[5] > 0
    first = Asked(Samples({"x": Column(X[: len(LENGTHS)], np.ones_like(LENGTHS))}), SIGNATURE, False, state=STATE)
    alone = sensitivity(model, [layer], first, judge, tmp_path, lambda *_: None)[layer.name]
    assert alone[2] == 0  # from zeros, it does nothing


def labels(*rows: Any) -> RawLabels:
    lengths = np.array([len(row) for row in rows])
    return RawLabels(Column(np.concatenate([np.asarray(row) for row in rows]), lengths))


def test_a_label_of_as_many_rows_as_steps_is_one_for_each() -> None:
    found = StepLabels(labels([0, 1], [2, 2, 1]), (2, 3))
    assert found.by_step and list(found) == [0, 1, 2, 2, 1]
    assert found.means([1, 0, 1, 1, 0]).tolist() == [0.5, pytest.approx(2 / 3)]


@pytest.mark.parametrize("given", [RawLabels(Column(np.array([4, 7]))), labels([4, 4], [7, 7])])
def test_another_label_is_of_the_last_step(given: RawLabels) -> None:
    found = StepLabels(given, (1, 3))
    assert not found.by_step and len(found) == 4
    assert [one is not None for one in found] == [True, False, False, True]
    assert found.means([1.0, 0.0]).tolist() == [1.0, 0.0]


def test_a_sequence_is_one_sample_of_a_score(path: Path, asked: Asked) -> None:
    judge = Judge(task_named("classification"), Spec(width=3))
    answers = judge.reduced(GraphSession(path).answered(asked))
    tops = [int(y.argmax()) for y in stepped(path)]
    by_step = asked.labels(RawLabels(Column(np.array(tops), LENGTHS)))
    assert judge.scores(answers, by_step).tolist() == [1, 1, 1, 1]
    last = np.array(tops)[np.cumsum(LENGTHS) - 1]
    whole = asked.labels(RawLabels(Column((last + np.array([0, 1, 0, 0])) % 3)))
    assert judge.scores(answers, whole).tolist() == [1, 0, 1, 1]
    assert judge.headline(answers, whole).value == 0.75
    plain = Asked(Samples({"x": Column(X)}), SIGNATURE, False)
    assert plain.labels(whole.labels) is whole.labels
