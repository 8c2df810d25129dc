"""Models with pre- and postprocessing through door and build: the network is compressed, devices get the whole."""

import io
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.door.brought import open_graph
from edgefleet_compression.models.door.composed_check import check_composed
from edgefleet_compression.models.door.inspection import Findings, inspect_model
from edgefleet_compression.models.door.onnx_card import file_lines
from edgefleet_compression.models.door.opening import open_samples
from edgefleet_compression.models.door.taking import take
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_contract.card import parse_card
from edgefleet_contract.errors import ContractError

SIDE = 16
COLOURS = ("red", "green", "blue")


def pictures(count: int, seed: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Frames of unequal sizes, each mostly of one colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    frames = []
    for label in labels:
        frame = rng.integers(0, 120, (*rng.integers(20, 60, 2), 3)).astype(np.uint8)
        frame[..., label] += 100
        frames.append(frame)
    return frames, labels


def ragged(frames: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return np.concatenate([one.ravel() for one in frames]), np.array([one.shape for one in frames])


def network() -> onnx.ModelProto:
    """Logits of colours of a picture [3, 16, 16], blue first, of opset 12."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.05, (8, 3, 3, 3)).astype(np.float32)
    weight[:3] = np.eye(3)[:, :, None, None] * 0.5
    last = rng.normal(0, 0.05, (8, 3)).astype(np.float32)
    last[:3] = np.eye(3)[::-1] * 4
    stored = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(last, "m")]
    nodes = [
        helper.make_node("Conv", ["frame", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "colours", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


CLASSIFIER = """
[preprocessing]
resize = [16, 16]
fit = "crop"
colour = "bgr"
scale = 0.00392156862745098
mean = [0.4, 0.5, 0.6]
std = [0.2, 0.25, 0.3]
[postprocessing]
softmax = ["logits"]
top_k = 2
classes = "names"
"""


class Registered:
    """A folder with a card of these tables; `y` may be left out."""

    def __init__(self, folder: Path, model: onnx.ModelProto, head: str, tables: str, data: dict[str, Any]) -> None:
        folder.mkdir(exist_ok=True)
        self.model, self.data = folder / "model.onnx", folder / "data.npz"
        self.model.write_bytes(model.SerializeToString())
        np.savez_compressed(self.data, **data)
        files = file_lines("onnx", "model.onnx", self.model), file_lines("data", "data.npz", self.data)
        (folder / "model.toml").write_text("\n".join((head, *files, tables)))
        self.card = parse_card((folder / "model.toml").read_text())
        self.files = {path.name: path for path in (folder / "model.toml", self.model, self.data)}
        self._folder = folder

    def found(self) -> Findings:
        return inspect_model(self.model, self.data, self.card)

    def looked(self) -> None:
        """What the inspecting process does, in this one."""
        session = open_graph(self.model)
        opened = open_samples(session, self.card, self.data)
        val = opened.data.read("val")
        check_composed(self.model, self.card, take(session, self.card, opened, val), opened.made, val)

    def built(self, recipe: str) -> BuildOutcome:
        request = BuildRequest(
            self.files, shipped_recipes()[recipe], "x86-avx2", self._folder / "cache", self._folder / recipe
        )
        outcome = build_variant(request)
        assert isinstance(outcome, BuildOutcome), outcome
        return outcome


HEAD = 'name = "colours"\ndoor = "onnx"\ntask = "classification"\nlabels = ["red", "green", "blue"]\n'


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    arrays: dict[str, Any] = {}
    for seed, (split, count) in enumerate({"calib": 30, "val": 30, "test": 12}.items()):
        frames, labels = pictures(count, seed)
        arrays[f"x_{split}/values"], arrays[f"x_{split}/shapes"] = ragged(frames)
        arrays[f"y_{split}"] = labels
    return Registered(tmp_path_factory.mktemp("colours"), network(), HEAD, CLASSIFIER, arrays)


def seen(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network should see of a frame, by Pillow and numpy."""
    high, wide = frame.shape[:2]
    share = max(SIDE / high, SIDE / wide)
    size = int(high * share + 0.5), int(wide * share + 0.5)
    resized = np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    cut = resized[top : top + SIDE, left : left + SIDE, ::-1] / 255
    return ((cut - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]).astype(np.float32).transpose(2, 0, 1)


def test_a_model_is_read_as_applications_see_it(colours: Registered) -> None:
    found = colours.found()
    [frame] = found.reading.signature.inputs
    assert (frame.name, frame.datatype, frame.shape[1:]) == ("frame", "UINT8", ("frame_height", "frame_width", 3))
    assert [one.name for one in found.reading.signature.outputs] == ["logits", "top_classes", "top_scores", "top_names"]
    assert (found.samples, found.labelled, found.classes) == (30, True, 3)


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_a_variant_answers_frames_as_pillow_numpy_and_the_network_would(colours: Registered, recipe: str) -> None:
    outcome = colours.built(recipe)
    variant = onnxruntime.InferenceSession(outcome.onnx_path, providers=["CPUExecutionProvider"])
    brought = onnxruntime.InferenceSession(colours.model, providers=["CPUExecutionProvider"])
    for frame in pictures(9, 77)[0]:
        answers, classes, scores, names = variant.run(None, {"frame": frame[None]})
        [logits] = brought.run(None, {"frame": seen(frame)[None]})
        powers = np.exp(logits - logits.max())
        np.testing.assert_allclose(answers, powers / powers.sum(), atol=0.02 if recipe == "fp32" else 0.1)
        assert scores[0, 0] == answers.max() and classes[0, 0] == answers.argmax()
        assert names.tolist() == [[["red", "green", "blue"][n] for n in classes[0]]]
    assert outcome.metrics.score_val == outcome.metrics.score_test == outcome.metrics.agreement == 1
    assert outcome.recorded.spec.outputs == "probabilities"
    golden = np.load(io.BytesIO(outcome.recorded.golden))
    assert golden["inputs/0"].dtype == np.uint8 and len(golden["inputs/0/shapes"]) == outcome.recorded.size.samples


def test_steps_see_the_network_alone_and_preprocess_once(colours: Registered) -> None:
    cache = Cache(colours.files["model.toml"].parent / "cache")
    source = open_source(colours.files, cache)
    val, frames = source.data.read("val").x.columns["frame"], pictures(30, 1)[0]
    assert val.values.shape == (30, 3, SIDE, SIDE) and val.values.dtype == np.float32
    for row, frame in enumerate(frames):
        assert np.abs(val.row(row) - seen(frame)).max() < 1.01 / 255 / 0.2
    assert isinstance(val.values.base, np.memmap) or isinstance(val.values, np.memmap)  # on the disk, read as asked
    assert [one.name for one in source.signature.outputs] == ["logits"] and source.scale == 1
    assert source.sent.data.read("val").x.columns["frame"].values.dtype == np.uint8
    assert {node.op_type for node in onnx.load(colours.model).graph.node}.isdisjoint({"Resize", "Softmax"})


def detector() -> onnx.ModelProto:
    """The brightest of 4 x 4 cells of a picture [1, 16, 16], as [1, 6, 16]: centre, size, and scores of two classes."""
    y, x = np.mgrid[:4, :4] * 4 + 2
    places = np.stack([x.ravel(), y.ravel(), np.full(16, 4), np.full(16, 4)]).astype(np.float32)[None]
    stored = [
        numpy_helper.from_array(places, "places"),
        numpy_helper.from_array(np.array([-1, 1, 16]), "rows"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
    ]
    nodes = [
        helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["cells", "rows"], ["bright"]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Mul", ["bright", "bright"], ["sure"]),
        helper.make_node("Mul", ["dark", "dark"], ["unsure"]),
        helper.make_node("Concat", ["places", "sure", "unsure"], ["output0"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 16])]
    graph = helper.make_graph(nodes, "cells", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


BOXES = """
[preprocessing]
resize = [16, 16]
fit = "letterbox"
pad = 128
colour = "grey"
[answers.boxes]
boxes = { output = "output0", count = 4 }
scores = { output = "output0", first = 4, count = 1 }
form = "cxcywh"
boxes_last = true
[postprocessing]
most = 3
score = 0.6
"""


def cells(tmp_path: Path, tables: str = BOXES) -> Registered:
    """White squares on black, in frames of 64 x 128 pixels."""
    rng, arrays = np.random.default_rng(3), {}
    for split in ("calib", "val", "test"):
        x = np.zeros((8, 64, 128, 3), np.uint8)
        corners = rng.integers(0, 4, 8) * 32
        for n, left in enumerate(corners):
            x[n, 32:64, left : left + 32] = 255
        arrays[f"x_{split}"] = x
        arrays[f"y_{split}/values"] = np.stack(
            [corners * 0, corners, corners * 0 + 32, corners + 32, corners * 0 + 64], 1
        )
        arrays[f"y_{split}/lengths"] = np.ones(8, np.int64)
    return Registered(tmp_path, detector(), 'name = "cells"\ndoor = "onnx"\ntask = "detection"\n', tables, arrays)


def test_a_detectors_boxes_are_scored_in_pixels_of_the_frame(tmp_path: Path) -> None:
    model = cells(tmp_path)
    reading = model.found().reading
    assert [(one.name, one.shape) for one in reading.signature.outputs] == [("detections", (1, 3, 6))]
    outcome = model.built("fp32")
    assert outcome.metrics.score_val == 1 and outcome.metrics.agreement == 1
    session = onnxruntime.InferenceSession(outcome.onnx_path, providers=["CPUExecutionProvider"])
    frame = np.load(model.data)["x_val"][:1]
    [found] = session.run(None, {"x": frame})
    _, left, top, right, bottom = np.load(model.data)["y_val/values"][0]
    np.testing.assert_allclose(found[0, 0, 2:], [left, top, right, bottom], atol=0.01)
    assert found[0, 0, 0] == 0 and found[0, 0, 1] > 0.8
    assert (found[0, 1:, 0] == -1).all()


REFUSED: dict[str, tuple[str, str, str]] = {
    "size": ("resize = [16, 16]", "resize = [8, 8]", "resize is [8, 8], and it takes [16, 16]"),
    "channels": ('colour = "grey"', 'colour = "rgb"', "it takes 1 channels, and gets 3"),
    "layout": ('colour = "grey"', 'colour = "grey"\nlayout = "nhwc"', "it takes 16 channels, and gets 1"),
    "input": ('colour = "grey"', 'colour = "grey"\ninput = "y"', "preprocessing.input is 'y', and the graph takes x"),
    "sigmoid": ("most = 3", 'most = 3\nsigmoid = ["output0"]', "'output0' is from 0 to 1 already"),
    "softmax": ("most = 3", 'most = 3\nsoftmax = ["output0"]', "softmax of 'output0' would change its boxes"),
    "output": ("most = 3", 'most = 3\nsigmoid = ["y"]', "there is no output 'y'"),
    "samples": ('colour = "grey"', 'colour = "grey"\ndtype = "float32"', "give float32 [N, any, any, 3]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_network_is_not_made_for_is_refused_at_the_door_in_one_line(tmp_path: Path, case: str) -> None:
    was, now, told = REFUSED[case]
    assert was in BOXES
    with pytest.raises((CompressionError, ContractError)) as caught:
        cells(tmp_path, BOXES.replace(was, now)).looked()
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_logits_that_are_cut_off_as_if_they_were_shares_are_refused(tmp_path: Path) -> None:
    scaled = BOXES.replace('colour = "grey"', 'colour = "grey"\nscale = 1')
    with pytest.raises(ContractError, match=r"not from 0 to 1: name it at postprocessing\.sigmoid or softmax"):
        cells(tmp_path, scaled).looked()


def test_a_published_file_with_nothing_around_it_is_the_very_file_of_the_steps(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((12, 3, SIDE, SIDE), np.float32)
    model = Registered(tmp_path, network(), HEAD, "[preprocessing]\nscale = 1.0\n", {"x": np.tile(x, (2, 1, 1, 1))})
    outcome = model.built("fp32")
    assert outcome.steps[-1].log["file_bytes"] == outcome.onnx_path.stat().st_size
    made = [
        path for path in (tmp_path / "cache").rglob("*.onnx") if path.read_bytes() == outcome.onnx_path.read_bytes()
    ]
    assert made and tomllib.loads((tmp_path / "model.toml").read_text())["preprocessing"] == {"scale": 1}
