"""NaN and infinity: refused where a task reads them or a state would carry them, and nobody's business elsewhere."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.compression.brought_models import classifier, data_file, written
from tests.compression.conftest import pictures
from tests.compression.test_door_onnx import Brought

from edgefleet_compression.builds.messages import WorkRefused
from edgefleet_compression.builds.refusals import refusal_of
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import MeasureError
from edgefleet_compression.measuring.measure import measured
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.onnx_graphs.losses import loss_between
from edgefleet_contract.first_card import CardHints
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.errors import AnswerNotFinite

CLASSES = CardHints(task="classification")


def masked() -> onnx.ModelProto:
    """The classifier, and `masked`: -inf where the picture is dark, which nobody reads."""
    model = classifier()
    graph = model.graph
    graph.node.extend(
        [
            helper.make_node("Sub", ["flat", "dark"], ["above"]),
            helper.make_node("Relu", ["above"], ["bright"]),
            helper.make_node("Log", ["bright"], ["masked"]),
        ]
    )
    graph.initializer.append(numpy_helper.from_array(np.float32(100), "dark"))
    graph.input.append(helper.make_tensor_value_info("dark", TensorProto.FLOAT, []))
    graph.output.append(helper.make_tensor_value_info("masked", TensorProto.FLOAT, ["n", 64]))
    return model


def test_an_output_that_the_task_does_not_read_may_be_infinite(tmp_path: Path) -> None:
    x, y = pictures(200, 3)
    model = Brought(tmp_path, written(masked(), tmp_path), data_file(tmp_path, x=x, y=y), told=CLASSES)
    assert model.card.task in (None, "classification")
    for recipe in ("fp32", "w8", "int8"):
        outcome = model.built(recipe)
        assert outcome.metrics.agreement is not None and outcome.metrics.agreement > 0.9


def test_the_same_output_is_refused_by_its_name_where_the_task_reads_it(tmp_path: Path) -> None:
    x, _ = pictures(200, 3)
    told = CardHints(task="outputs")
    with pytest.raises(Exception, match=r"output 'masked' is not finite: it has NaN or infinity$"):
        card_for_onnx(written(masked(), tmp_path), data_file(tmp_path, x=x), name=None, version=1, told=told)


def test_losses_pass_over_what_is_infinite_in_both() -> None:
    one, other = np.array([[0.0, 1, -np.inf]]), np.array([[0.0, 1, np.inf]])
    assert loss_between("scaled_error", [[one]], [[one.copy()]], Spec()) == 0
    assert loss_between("scaled_error", [[one]], [[other]], Spec()) == 1


def stepping(turns: float) -> onnx.ModelProto:
    """x, h -> y, hn: hn = h + x, and from `turns` on infinite; y never is."""
    nodes = [
        helper.make_node("Add", ["x", "h"], ["sum"]),
        helper.make_node("Sub", ["turns", "sum"], ["left"]),
        helper.make_node("Relu", ["left"], ["positive"]),
        helper.make_node("Ceil", ["positive"], ["ceiled"]),
        helper.make_node("Min", ["ceiled", "one"], ["fine"]),
        helper.make_node("Div", ["sum", "fine"], ["hn"]),
        helper.make_node("Min", ["sum", "one"], ["y"]),
    ]
    float_of = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])  # noqa: E731
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in (("turns", turns), ("one", 1))]
    graph = helper.make_graph(nodes, "g", [float_of("x"), float_of("h")], [float_of("y"), float_of("hn")], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_a_state_that_becomes_infinite_is_refused_by_its_name(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1, (12, 4, 2)).astype(np.float32)
    told = CardHints(task="regression")
    data = data_file(tmp_path, x_val=x, x_test=x, x_calib=x)
    assert "[[state]]" in card_for_onnx(written(stepping(100), tmp_path), data, name=None, version=1, told=told)
    with pytest.raises(Exception, match=r"output 'hn' is not finite"):
        card_for_onnx(written(stepping(2), tmp_path), data, name=None, version=1, told=told)


def test_a_variant_that_is_not_finite_on_test_alone_is_refused_with_the_output(tmp_path: Path) -> None:
    x, y = pictures(60, 3)
    test = x[:20].copy()
    test[4:, 0, 0, 0] = 255
    x[:, 0, 0, 0] = 0
    data = data_file(tmp_path, x_val=x, y_val=y, x_calib=x, x_test=test, y_test=y[:20])
    model = Brought(tmp_path, written(classifier(), tmp_path), data, told=CLASSES)
    source = open_source(model.files, Cache(tmp_path / "cache"))
    spoiled = classifier()
    del spoiled.graph.node[-1]
    spoiled.graph.node.extend(
        [
            helper.make_node("Softmax", ["logits"], ["shares"], axis=1),
            helper.make_node("Gather", ["flat", "zero"], ["first"], axis=1),
            helper.make_node("Sub", ["limit", "first"], ["left"]),
            helper.make_node("Sqrt", ["left"], ["root"]),
            helper.make_node("Mul", ["root", "nought"], ["nothing"]),
            helper.make_node("Add", ["shares", "nothing"], ["probs"]),
        ]
    )
    for name, value in (("limit", np.float32(0.9)), ("nought", np.float32(0)), ("zero", np.array([0]))):
        spoiled.graph.initializer.append(numpy_helper.from_array(value, name))
        kind = TensorProto.INT64 if name == "zero" else TensorProto.FLOAT
        spoiled.graph.input.append(helper.make_tensor_value_info(name, kind, list(np.shape(value))))
    with pytest.raises(MeasureError, match=r"answers to test: output 'probs' is not finite.*correct the recipe"):
        measured(written(spoiled, tmp_path, "spoiled.onnx"), source, {}, None, None)


def test_a_step_that_meets_nan_is_a_refusal_in_our_words() -> None:
    refused = refusal_of(AnswerNotFinite("output 'y' is not finite"))
    assert isinstance(refused, WorkRefused) and refused.reason == "not_measured"
    assert "unexpected" not in refused.sentence and "output 'y'" in refused.sentence
