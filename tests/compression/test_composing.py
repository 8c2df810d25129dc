"""Preprocessing as nodes, against Pillow and numpy; composed graphs run in onnxruntime, as on a device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.composed import composed_signature
from edgefleet_compression.onnx_graphs.composing import compose, preprocessing_alone
from edgefleet_compression.onnx_graphs.sent import GivenAnswers, SentInput, SentPicture, SurestClasses
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Axis, Signature, Tensor

Picture = NDArray[np.uint8]
SIZE = (24, 32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def frame(height: int, width: int, channels: int = 3) -> Picture:
    """Waves, edges and noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(height * width).normal(0, 25, (height, width, channels))
    waves = np.stack([127 + 120 * np.sin((x + n) / 5) * np.cos(y / (3 + n)) for n in range(channels)], -1)
    return (waves + noise + 60 * (x > width / 2)[..., None]).clip(0, 255).astype(np.uint8)


def echo(shape: tuple[Axis, ...], datatype: str = "FP32", opset: int = 21) -> tuple[onnx.ModelProto, Signature]:
    """A network that answers what it sees, and half of it in a branch of an `If`."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(BY_NAME[datatype].numpy))
    nodes = [
        helper.make_node("Identity", ["x"], ["pre_1"]),  # a name that composing might choose
        helper.make_node(
            "If",
            ["yes"],
            ["branch"],
            then_branch=helper.make_graph(
                [helper.make_node("Identity", ["x"], ["a"])],
                "then",
                [],
                [helper.make_tensor_value_info("a", kind, None)],
            ),
            else_branch=helper.make_graph(
                [helper.make_node("Identity", ["pre_1"], ["b"])],
                "else",
                [],
                [helper.make_tensor_value_info("b", kind, None)],
            ),
        ),
        helper.make_node("Identity", ["branch"], ["seen"]),
    ]
    stored = [numpy_helper.from_array(np.array(True), "yes")]
    graph = helper.make_graph(
        nodes,
        "echo",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("seen", kind, list(shape))],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset > 10 else 4)
    return model, Signature((Tensor("x", datatype, shape),), (Tensor("seen", datatype, shape),))


def ran(model: onnx.ModelProto, **feed: NDArray[Any]) -> list[NDArray[Any]]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(one) for one in session.run(None, feed)]


def seen(picture: SentPicture, sent: Picture, shape: tuple[Axis, ...] | None = None, **numbers: Any) -> NDArray[Any]:
    """What the network sees of one frame, [channels, height, width] or [height, width, channels]."""
    network, signature = echo(shape or ("batch", 3, *SIZE))
    told = SentInput("x", picture=picture, **numbers)
    [found] = ran(compose(network, signature, told), x=sent[None])
    [alone] = ran(preprocessing_alone(signature, told), x_sent=sent[None])
    np.testing.assert_array_equal(found, alone)
    return np.asarray(found[0])


def by_pillow(sent: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(Image.fromarray(sent).resize(size[::-1], Image.Resampling.BILINEAR))


def cropped(sent: Picture) -> Picture:
    high, wide = sent.shape[:2]
    share = max(SIZE[0] / high, SIZE[1] / wide)
    size = int(high * share + 0.5), int(wide * share + 0.5)
    top, left = (size[0] - SIZE[0]) // 2, (size[1] - SIZE[1]) // 2
    return by_pillow(sent, size)[top : top + SIZE[0], left : left + SIZE[1]]


def letterboxed(sent: Picture, pad: int = 114, corner: bool = False) -> Picture:
    high, wide = sent.shape[:2]
    share = min(SIZE[0] / high, SIZE[1] / wide)
    size = max(1, int(high * share + 0.5)), max(1, int(wide * share + 0.5))
    top, left = (0, 0) if corner else ((SIZE[0] - size[0]) // 2, (SIZE[1] - size[1]) // 2)
    whole = np.full((*SIZE, sent.shape[2]), pad, np.uint8)
    whole[top : top + size[0], left : left + size[1]] = by_pillow(sent, size)
    return whole


FITS: dict[str, tuple[SentPicture, Callable[[Picture], Picture]]] = {
    "stretch": (SentPicture(resize=SIZE), lambda x: by_pillow(x, SIZE)),
    "crop": (SentPicture(resize=SIZE, fit="crop"), cropped),
    "letterbox": (SentPicture(resize=SIZE, fit="letterbox", pad=114), letterboxed),
    "corner": (SentPicture(resize=SIZE, fit="letterbox", corner=True), lambda x: letterboxed(x, 0, corner=True)),
}


@pytest.mark.parametrize("size", [(60, 80), (61, 47), (24, 32), (7, 9), (300, 11), (3, 200)])
@pytest.mark.parametrize("fit", FITS)
def test_a_frame_of_any_size_fits_as_pillow_fits_it(fit: str, size: tuple[int, int]) -> None:
    picture, oracle = FITS[fit]
    sent = frame(*size)
    found = seen(picture, sent).transpose(1, 2, 0)
    assert np.abs(found - oracle(sent)).max() <= 1  # Pillow rounds after each direction
    assert np.abs(found - oracle(sent)).mean() < 0.35


def test_channels_are_turned_mixed_and_laid_out_as_the_network_takes_them() -> None:
    sent = frame(*SIZE)
    np.testing.assert_array_equal(seen(SentPicture(colour="bgr"), sent), sent[..., ::-1].transpose(2, 0, 1))
    last = ("batch", *SIZE, 3)
    np.testing.assert_array_equal(seen(SentPicture(channels_first=False), sent, last), sent)
    grey = seen(SentPicture(colour="grey"), sent, ("batch", 1, *SIZE))
    assert np.abs(grey[0] - np.asarray(Image.fromarray(sent).convert("L"))).max() <= 0.51  # Pillow rounds it
    already = seen(SentPicture(channels=1, colour="grey"), sent[..., :1], ("batch", 1, *SIZE))
    np.testing.assert_array_equal(already[0], sent[..., 0])


@pytest.mark.parametrize("first", [True, False])
def test_numbers_are_scaled_then_shifted_then_divided_each_channel_by_its_own(first: bool) -> None:
    sent = frame(40, 50)
    picture = SentPicture(resize=SIZE, fit="letterbox", pad=114, colour="bgr", channels_first=first)
    shape: tuple[Axis, ...] = ("batch", 3, *SIZE) if first else ("batch", *SIZE, 3)
    found = seen(picture, sent, shape, scale=1 / 255, mean=MEAN, std=STD)
    expected = (letterboxed(sent)[..., ::-1] / 255 - MEAN) / STD
    assert np.abs((found.transpose(1, 2, 0) if first else found) - expected).max() < 1.01 / 255 / min(STD)


def test_a_scale_alone_gives_the_very_numbers_of_numpy() -> None:
    network, signature = echo(("batch", 3, *SIZE))
    sent = frame(*SIZE).transpose(2, 0, 1)[None]
    [found] = ran(compose(network, signature, SentInput("x", scale=1 / 255)), x=sent)
    np.testing.assert_array_equal(found, sent.astype(np.float32) * np.float32(1 / 255))
    shifted = SentInput("x", "INT16", scale=2.0, mean=(3.0,), std=(4.0,))
    [found] = ran(compose(network, signature, shifted), x=sent.astype(np.int16) - 100)
    np.testing.assert_allclose(found, ((sent.astype(np.int16) - 100) * 2.0 - 3) / 4, rtol=1e-6)


@pytest.mark.parametrize("datatype", ["FP16", "FP64", "UINT8", "INT32"])
def test_the_network_gets_its_own_type(datatype: str) -> None:
    network, signature = echo(("batch", 3, *SIZE), datatype)
    whole = datatype in ("UINT8", "INT32")
    told = SentInput("x", picture=SentPicture(resize=SIZE), scale=1.0 if whole else 0.5)
    sent = frame(50, 60)
    [found] = ran(compose(network, signature, told), x=sent[None])
    assert found.dtype == np.dtype(BY_NAME[datatype].numpy)
    expected = by_pillow(sent, SIZE) * (1 if whole else 0.5)
    assert np.abs(found[0].transpose(1, 2, 0).astype(float) - expected).max() <= 1


def test_frames_of_one_size_are_asked_together_and_others_by_themselves() -> None:
    network, signature = echo(("batch", 3, *SIZE))
    model = compose(network, signature, SentInput("x", picture=SentPicture(resize=SIZE, fit="letterbox")))
    both = np.stack([frame(40, 30), frame(40, 30)[::-1]])
    [found] = ran(model, x=both)
    for row in range(2):
        np.testing.assert_array_equal(found[row], ran(model, x=both[row : row + 1])[0][0])
    assert ran(model, x=frame(9, 90)[None])[0].shape == (1, 3, *SIZE)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 22])
def test_networks_of_every_opset_are_composed(opset: int) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(0, 0.1, (4, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, *SIZE])]
    if opset < 9:  # before IR version 4 weights are inputs, too
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3]))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 4])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weight])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if opset < 9 else 8)
    signature = Signature((Tensor("x", "FP32", ("N", 3, *SIZE)),), (Tensor("logits", "FP32", ("N", 4)),))
    told = SentInput("x", picture=SentPicture(resize=SIZE), scale=1 / 255)
    sent, before = frame(48, 64), network.SerializeToString()
    [found] = ran(compose(network, signature, told), x=sent[None])
    [pixels] = ran(preprocessing_alone(signature, told), x_sent=sent[None])
    [expected] = ran(network, x=pixels)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert network.SerializeToString() == before
    plain = compose(network, signature, SentInput("x", scale=1 / 255))
    assert [entry.version for entry in plain.opset_import] == [opset]  # it needs nothing newer
    [found] = ran(plain, x=np.zeros((1, 3, *SIZE), np.uint8))
    np.testing.assert_allclose(found, ran(network, x=np.zeros((1, 3, *SIZE), np.float32))[0], atol=1e-6)


def scored(datatype: str = "FP32", width: Axis = 4) -> tuple[onnx.ModelProto, Signature]:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(BY_NAME[datatype].numpy))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["top_scores"])],
        "net",
        [helper.make_tensor_value_info("x", kind, ["N", width])],
        [helper.make_tensor_value_info("top_scores", kind, ["N", width])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    return model, Signature((Tensor("x", datatype, ("N", width)),), (Tensor("top_scores", datatype, ("N", width)),))


@pytest.mark.parametrize("datatype", ["FP32", "FP16"])
def test_logits_become_probabilities_under_their_own_name(datatype: str) -> None:
    network, signature = scored(datatype)
    x = np.array([[1, 2, 3, -1], [0, 0, 5, 0]], BY_NAME[datatype].numpy)
    powers = np.exp(x.astype(np.float64))
    [found] = ran(compose(network, signature, None, GivenAnswers(softmax=("top_scores",))), x=x)
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-5)
    given = GivenAnswers(sigmoid=("top_scores",))
    [found] = ran(compose(network, signature, None, given), x=x)
    np.testing.assert_allclose(found, 1 / (1 + 1 / powers), rtol=1e-5)
    assert [(t.name, t.datatype) for t in composed_signature(signature, None, given).outputs] == [
        ("top_scores", "FP32")
    ]


def test_branches_may_name_their_outputs_as_the_network_does() -> None:
    def branch(op: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], ["y"])], op, [], [value])

    choice = helper.make_node("If", ["yes"], ["y"], then_branch=branch("Identity"), else_branch=branch("Neg"))
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])] for name in "xy"]
    graph = helper.make_graph([choice], "g", *ends, [numpy_helper.from_array(np.array(True), "yes")])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    signature = Signature((Tensor("x", "FP32", ("N", 3)),), (Tensor("y", "FP32", ("N", 3)),))
    model = compose(network, signature, None, GivenAnswers(softmax=("y",)))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["y"], {"x": np.log(np.array([[1, 2, 7]], np.float32))})
    np.testing.assert_allclose(found, [[0.1, 0.2, 0.7]], 1e-5)


def test_the_surest_classes_are_given_beside_the_answers_with_their_names() -> None:
    network, signature = echo(("N", 4))
    top = SurestClasses("seen", 2, ("ant", "bee", "cat", "dog"))
    model = compose(network, signature, None, GivenAnswers(softmax=("seen",), top=top))
    x = np.array([[1, 2, 3, -1], [9, 0, 5, 0]], np.float32)
    answers, classes, scores, names = ran(model, x=x)
    np.testing.assert_array_equal(classes, [[2, 1], [0, 2]])
    np.testing.assert_array_equal(scores, np.take_along_axis(answers, classes, 1))
    assert names.tolist() == [["cat", "bee"], ["ant", "cat"]]
    told = composed_signature(signature, None, GivenAnswers(top=top))
    assert [(t.name, t.datatype, t.shape) for t in told.outputs][1:] == [
        ("top_classes", "INT64", ("N", 2)),
        ("top_scores", "FP32", ("N", 2)),
        ("top_names", "BYTES", ("N", 2)),
    ]


def test_nothing_to_compose_leaves_the_very_network() -> None:
    network, signature = echo(("N", 4))
    assert compose(network, signature, None) is network


LAST = ("N", *SIZE, 3)
REFUSED: dict[str, tuple[tuple[Axis, ...], str, SentInput, str]] = {
    "no such input": (LAST, "FP32", SentInput("y"), "there is no input 'y': the model takes x"),
    "layout": (LAST, "FP32", SentInput("x", picture=SentPicture()), "takes 24 channels, and gets 3"),
    "grey": (LAST, "FP32", SentInput("x", picture=SentPicture(colour="grey", channels_first=False)), "gets 1"),
    "size": (
        LAST,
        "FP32",
        SentInput("x", picture=SentPicture(resize=(9, 9), channels_first=False)),
        "resize is [9, 9], and it takes [24, 32]",
    ),
    "rank": (("N", 4), "FP32", SentInput("x", picture=SentPicture()), "a picture is [batch, channels, height, width]"),
    "mean": (
        LAST,
        "FP32",
        SentInput("x", picture=SentPicture(channels_first=False), mean=(1.0, 2.0)),
        "have one number, or 3",
    ),
    "whole numbers": (("N", 4), "INT64", SentInput("x", scale=0.5), "whole numbers have no scale, mean or std"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_the_network_is_refused_in_one_line(case: str) -> None:
    shape, datatype, sent, told = REFUSED[case]
    network, signature = echo(shape, datatype)
    with pytest.raises(GraphError) as caught:
        compose(network, signature, sent)
    assert told in str(caught.value) and "\n" not in str(caught.value)


OUTPUTS_REFUSED: dict[str, tuple[Axis, GivenAnswers, str]] = {
    "no such output": (4, GivenAnswers(softmax=("y",)), "there is no output 'y': the model has top_scores"),
    "one number": (1, GivenAnswers(softmax=("top_scores",)), "of one number always 1"),
    "too many": (4, GivenAnswers(top=SurestClasses("top_scores", 5)), "top_k is 5, give 4 or less"),
    "names": (4, GivenAnswers(top=SurestClasses("top_scores", 2, ("a", "b"))), "there are 2 labels: name them all"),
    "taken": (4, GivenAnswers(top=SurestClasses("top_scores", 2)), "rename the network's output"),
}


@pytest.mark.parametrize("case", OUTPUTS_REFUSED)
def test_what_the_outputs_do_not_hold_is_refused_in_one_line(case: str) -> None:
    width, given, told = OUTPUTS_REFUSED[case]
    network, signature = scored(width=width)
    with pytest.raises(GraphError) as caught:
        compose(network, signature, None, given)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_an_input_that_is_an_output_too_is_refused() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [value], [value, other])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    tensors = tuple(Tensor(name, "FP32", ("N", 4)) for name in "xy")
    with pytest.raises(GraphError, match="is an output, too"):
        compose(network, Signature(tensors[:1], tensors), SentInput("x", scale=0.5))
