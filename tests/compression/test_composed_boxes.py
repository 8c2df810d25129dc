"""Boxes that a graph picks itself, against a plain numpy reading and suppression; and placed back in the frame."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.composed import PICKED, composed_signature
from edgefleet_compression.onnx_graphs.composing import compose
from edgefleet_compression.onnx_graphs.sent import GivenAnswers, PickedBoxes, SentInput, SentPicture
from edgefleet_protocol.signature import Axis, Signature, Tensor
from edgefleet_protocol.spec import PROBABILITIES, BoxReading, OutputColumns, Spec
from edgefleet_tasks.boxes import read_boxes

Array = NDArray[Any]
CLASSES = 5


def fixed(**outputs: Array) -> tuple[onnx.ModelProto, Signature]:
    """A network of opset 11 that gives the same outputs whatever picture it sees, with any batch of it."""
    given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["b", 3, "h", "w"])]
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["none"]),
    ]
    stored = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    made, tensors = [], []
    for name, values in outputs.items():
        stored.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_stored"))
        ones = numpy_helper.from_array(np.array([-1, *[1] * (values.ndim - 1)]), f"{name}_ones")
        nodes += [
            helper.make_node("Constant", [], [ones.name], value=ones),
            helper.make_node("Reshape", ["none", ones.name], [f"{name}_none"]),
            helper.make_node("Add", [f"{name}_none", f"{name}_stored"], [name]),
        ]
        made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", *values.shape[1:]]))
        tensors.append(Tensor(name, "FP32", ("b", *values.shape[1:])))
    graph = helper.make_graph(nodes, "fixed", given, made, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    return model, Signature((Tensor("images", "FP32", ("b", 3, "h", "w")),), tuple(tensors))


def ran(model: onnx.ModelProto, images: Array | None = None) -> list[Array]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sent = np.zeros((2, 3, 4, 4), np.float32) if images is None else images
    return [np.asarray(one) for one in session.run(None, {"images": sent})]


def crowd(boxes: int = 300, seed: int = 0) -> tuple[Array, Array]:
    """Two samples of boxes that often overlap, [2, boxes, 4] as centre and size, and scores for each class."""
    rng = np.random.default_rng(seed)
    centres, sizes = rng.uniform(20, 120, (2, boxes, 2)), rng.uniform(10, 60, (2, boxes, 2))
    return np.concatenate([centres, sizes], -1).astype(np.float32), rng.uniform(0, 1, (2, boxes, CLASSES)) ** 4


def suppressed(corners: Array, scores: Array, classes: Array, score: float, overlap: float, most: int) -> Array:
    """Rows of class, score, x1, y1, x2, y2, by greedy suppression, one box after the other."""
    rows: list[list[float]] = []
    for n in np.argsort(-scores, kind="stable"):
        box = corners[n]
        if scores[n] < score or len(rows) == most:
            break
        for other in rows:
            low, high = np.maximum(box[:2], other[2:4]), np.minimum(box[2:], other[4:])
            both = np.prod(np.clip(high - low, 0, None))
            either = np.prod(box[2:] - box[:2]) + (other[4] - other[2]) * (other[5] - other[3]) - both
            if other[0] == classes[n] and both / either > overlap:
                break
        else:
            rows.append([float(classes[n]), float(scores[n]), *map(float, box)])
    return np.array(rows + [[-1, 0, 0, 0, 0, 0]] * (most - len(rows)))


def corners_of(centred: Array) -> Array:
    xy, size = centred[..., :2], centred[..., 2:] / 2
    return np.concatenate([xy - size, xy + size], -1)


RAW = BoxReading(boxes=OutputColumns(0, 0, 4), scores=OutputColumns(0, 4), form="cxcywh", boxes_last=True)


@pytest.mark.parametrize(
    ("score", "overlap", "most"), [(0.25, 0.45, 50), (0.05, 0.7, 20), (0.0, 0.3, 400), (0.9, 1, 9)]
)
def test_the_boxes_of_a_raw_detector_are_those_of_numpy(score: float, overlap: float, most: int) -> None:
    boxes, scores = crowd()
    network, signature = fixed(output0=np.concatenate([boxes, scores], -1).transpose(0, 2, 1))
    given = GivenAnswers(boxes=PickedBoxes(RAW, score, overlap, most))
    [found] = ran(compose(network, signature, None, given))
    for sample in range(2):
        best = scores[sample].max(1).astype(np.float32)
        corners = corners_of(boxes[sample])
        expected = suppressed(corners, best, scores[sample].argmax(1), score, overlap, most)
        np.testing.assert_allclose(found[sample], expected, atol=1e-4)
    [told] = composed_signature(signature, None, given).outputs
    assert (told.name, told.shape) == ("detections", ("b", most, 6))


def test_what_is_picked_is_what_the_task_reads_of_the_raw_outputs() -> None:
    boxes, scores = crowd(seed=3)
    network, signature = fixed(output0=np.concatenate([boxes, scores], -1).transpose(0, 2, 1))
    outputs = ran(network)
    found = ran(compose(network, signature, None, GivenAnswers(boxes=PickedBoxes(RAW, 0.1, 0.5, 100))))
    raw, picked = Spec(PROBABILITIES, boxes=replace(RAW, overlap=0.5)), Spec(PROBABILITIES, boxes=PICKED)
    for sample in range(2):
        one, other = read_boxes(outputs, sample, raw, 0.1, 100), read_boxes(found, sample, picked, 0.1, 100)
        assert len(one) == len(other) > 10
        np.testing.assert_allclose(one.corners, other.corners, atol=1e-4)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_array_equal(one.classes, other.classes)


def test_separate_outputs_objectness_logits_and_a_first_class_are_read() -> None:
    boxes, scores = crowd(40, seed=5)
    sure = np.random.default_rng(1).normal(0, 2, (2, 1, 40, 1))
    logits = np.log(scores / (1 - scores))
    corners = corners_of(boxes)[..., [1, 0, 3, 2]] / 100  # shares of the picture, y first
    network, signature = fixed(box=corners, cls=logits, obj=sure)
    reading = BoxReading(
        boxes=OutputColumns(0),
        scores=OutputColumns(1),
        objectness=OutputColumns(2),
        form="y1x1y2x2",
        scale_x=100,
        scale_y=100,
        first_class=1,
    )
    given = GivenAnswers(sigmoid=("cls", "obj"), boxes=PickedBoxes(reading, 0.2, 0.4, 30))
    [found] = ran(compose(network, signature, None, given))
    for sample in range(2):
        named = scores[sample][:, 1:]  # without what comes before the first class
        best = named.max(1) / (1 + np.exp(-sure[sample, 0, :, 0]))
        expected = suppressed(corners_of(boxes[sample]), best, named.argmax(1), 0.2, 0.4, 30)
        np.testing.assert_allclose(found[sample], expected, atol=1e-3)


def test_a_column_of_classes_and_a_number_of_boxes_are_obeyed_and_other_outputs_stay() -> None:
    boxes, scores = crowd(30, seed=7)
    classes = np.random.default_rng(2).integers(0, 40_000, (2, 30, 1))
    classes[:, ::2] = 7
    rows = np.concatenate([corners_of(boxes), scores[..., :1], classes], -1)
    network, signature = fixed(mask=np.ones((2, 4)), rows=rows, count=np.array([[12], [0]]))
    reading = BoxReading(
        boxes=OutputColumns(1, 0, 4), scores=OutputColumns(1, 4, 1), classes=OutputColumns(1, 5, 1), counts=2
    )
    given = GivenAnswers(boxes=PickedBoxes(reading, 0.01, 0.3, 10))
    found, mask = ran(compose(network, signature, None, given))
    expected = suppressed(rows[0, :12, :4], rows[0, :12, 4], rows[0, :12, 5], 0.01, 0.3, 10)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    np.testing.assert_array_equal(found[1], [[-1, 0, 0, 0, 0, 0]] * 10)
    assert mask.shape == (2, 4)
    assert [tensor.name for tensor in composed_signature(signature, None, given).outputs] == ["detections", "mask"]


def test_boxes_without_a_batch_are_those_of_the_one_sample() -> None:
    boxes, scores = crowd(20, seed=9)
    network, signature = fixed(boxes=corners_of(boxes)[0], scores=scores[0, :, 0], detections=scores[0, :, 1])
    outputs = tuple(replace(one, batched=False) for one in signature.outputs)
    reading = BoxReading(boxes=OutputColumns(0), scores=OutputColumns(1), classes=OutputColumns(2))
    [found] = ran(
        compose(
            network, Signature(signature.inputs, outputs), None, GivenAnswers(boxes=PickedBoxes(reading, 0.1, 1, 8))
        ),
        np.zeros((1, 3, 4, 4), np.float32),
    )
    expected = suppressed(corners_of(boxes)[0], scores[0, :, 0], np.rint(scores[0, :, 1]), 0.1, 1, 8)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_makes_the_answer_none(bad: float) -> None:
    boxes, scores = crowd(50)
    scores[0, 9, 2] = bad
    network, signature = fixed(output0=np.concatenate([boxes, scores], -1).transpose(0, 2, 1))
    [found] = ran(compose(network, signature, None, GivenAnswers(boxes=PickedBoxes(RAW, 0.25, 0.45, 20))))
    assert not np.isfinite(found[0]).all() and np.isfinite(found[1]).all()


SIZE = (60, 80)
FRAMES = {
    "stretch": (SentPicture(resize=SIZE), (120, 200), (2.5, 2.0), (0, 0)),
    "letterbox": (SentPicture(resize=SIZE, fit="letterbox"), (120, 320), (4.0, 4.0), (0, 15)),
    "corner": (SentPicture(resize=SIZE, fit="letterbox", corner=True), (240, 160), (4.0, 4.0), (0, 0)),
    "crop": (SentPicture(resize=SIZE, fit="crop"), (120, 320), (2.0, 2.0), (-40, 0)),
}


@pytest.mark.parametrize("fit", FRAMES)
def test_boxes_are_in_pixels_of_the_frame_whatever_its_size_and_within_it(fit: str) -> None:
    picture, (height, width), scale, offset = FRAMES[fit]
    boxes = np.array([[[20, 30, 10, 8], [40, 30, 120, 90]]] * 2, np.float32)
    scores = np.array([[[0.9], [0.8]]] * 2)
    network, signature = fixed(output0=np.concatenate([boxes, scores], -1).transpose(0, 2, 1))
    given = GivenAnswers(boxes=PickedBoxes(RAW, 0.25, 0.45, 3))
    model = compose(network, signature, SentInput("images", picture=picture), given)
    [found] = ran(model, np.zeros((1, height, width, 3), np.uint8).repeat(2, 0))
    near = (corners_of(boxes[0, 0]).reshape(2, 2) - offset) * scale
    np.testing.assert_allclose(found[0, 0], [0, 0.9, *near.ravel()], rtol=1e-5)
    whole = ((corners_of(boxes[0, 1]).reshape(2, 2) - offset) * scale).clip(0, (width, height))
    np.testing.assert_allclose(found[1, 1], [0, 0.8, *whole.ravel()], rtol=1e-5)
    assert found[0, 2].tolist() == [-1, 0, 0, 0, 0, 0]


def refused(outputs: dict[str, Array], given: GivenAnswers, shape: tuple[Axis, ...] | None = None) -> str:
    network, signature = fixed(**outputs)
    with pytest.raises(GraphError) as caught:
        compose(network, signature, None, given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_read_as_boxes_is_refused_in_one_line() -> None:
    boxes, scores = crowd(6)
    rows = np.concatenate([boxes, scores], -1)
    past = BoxReading(boxes=OutputColumns(0, 0, 4), scores=OutputColumns(0, 9, 1))
    assert "there is no column 9" in refused({"rows": rows}, GivenAnswers(boxes=PickedBoxes(past, 0.1, 0.5, 5)))
    reading = BoxReading(boxes=OutputColumns(0, 0, 4), scores=OutputColumns(0, 4))
    softmax = GivenAnswers(softmax=("rows",), boxes=PickedBoxes(reading, 0.1, 0.5, 5))
    assert "softmax of 'rows' would change its boxes" in refused({"rows": rows}, softmax)
    apart = BoxReading(boxes=OutputColumns(0), scores=OutputColumns(1))
    sigmoid = GivenAnswers(sigmoid=("box",), boxes=PickedBoxes(apart, 0.1, 0.5, 5))
    assert "sigmoid of 'box' would change boxes" in refused({"box": boxes, "cls": scores}, sigmoid)
    flat = GivenAnswers(boxes=PickedBoxes(apart, 0.1, 0.5, 5))
    assert "boxes are [boxes, numbers]" in refused({"box": boxes[:, 0, 0], "cls": scores}, flat)
