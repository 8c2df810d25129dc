"""The examples of docs/models.md are models: small networks with these cards go through the door, and do as it says."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.pages import DOCS

from edgefleet_compression.models.around.composed_file import compose_file
from edgefleet_compression.models.door.brought import load_brought, open_graph
from edgefleet_compression.models.door.composed_check import check_composed
from edgefleet_compression.models.door.onnx_card import file_lines
from edgefleet_compression.models.door.opening import open_samples
from edgefleet_compression.models.door.taking import label_spec, take
from edgefleet_contract.card import parse_card
from edgefleet_protocol.datatypes import BY_NAME, BYTES
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.registry import task_named, task_names

PAGE = (DOCS / "models.md").read_text().partition("\n## Each task, by example\n")[2]
EXAMPLES: dict[str, str] = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SIZES = {"batch": 1, "frame_height": 37, "frame_width": 52, "h": 20, "w": 24}
"""What stands for the sizes that are open."""
Shape = list[Any]


def value(name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def dense(name: str, shape: Shape, output: str, numbers: int, last: Shape) -> onnx.ModelProto:
    """So many sums of some of what is in a sample, as outputs of this shape."""
    whole = int(np.prod(shape[1:]))
    step = -(-whole // 500)
    size = -(-whole // step)
    rng = np.random.default_rng(0)
    stored = [
        *(numpy_helper.from_array(np.array([n]), f"n{place}") for place, n in enumerate((0, whole, 1, step))),
        numpy_helper.from_array(rng.normal(0, size**-0.5, (size, numbers)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array([-1, *last[1:]]), "shape"),
    ]
    nodes = [
        helper.make_node("Flatten", [name], ["flat"]),
        helper.make_node("Slice", ["flat", "n0", "n1", "n2", "n3"], ["some"]),
        helper.make_node("MatMul", ["some", "w"], ["sums"]),
        helper.make_node("Reshape", ["sums", "shape"], [output]),
    ]
    return made(nodes, [value(name, shape)], [value(output, last)], stored)


def made(nodes: list[Any], inputs: list[Any], outputs: list[Any], stored: list[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "example", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def forecast() -> onnx.ModelProto:
    stored = [numpy_helper.from_array(np.array([1]), "last")]
    nodes = [
        helper.make_node("Cast", ["month"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["column"]),
        helper.make_node("ReduceMean", ["hours"], ["mean"], axes=[1]),
        helper.make_node("Add", ["mean", "column"], ["degrees"]),
    ]
    inputs = [value("hours", ["batch", 24]), value("month", ["batch"], TensorProto.INT64)]
    return made(nodes, inputs, [value("degrees", ["batch", 1])], stored)


def yard() -> onnx.ModelProto:
    """All as shares, boxes and scores."""
    model = dense("images", ["batch", 3, 320, 320], "raw", 60, ["batch", 6, 10])
    graph = model.graph
    graph.node.append(helper.make_node("Sigmoid", ["raw"], ["output0"]))
    graph.output[0].name = "output0"
    return model


def road() -> onnx.ModelProto:
    nodes = [
        helper.make_node("ReduceMean", ["view"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["view", "mean"], ["above"]),
        helper.make_node("Sigmoid", ["above"], ["road"]),
    ]
    shape = ["batch", 1, "h", "w"]
    return made(nodes, [value("view", shape)], [value("road", shape)], [])


def quiet() -> onnx.ModelProto:
    shape = ["batch", 400]
    return made([helper.make_node("Tanh", ["noisy"], ["clean"])], [value("noisy", shape)], [value("clean", shape)], [])


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "classification": lambda: dense("image", ["batch", 3, 224, 224], "logits", 3, ["batch", 3]),
    "multilabel": lambda: dense("sound", ["batch", 16000], "tones", 3, ["batch", 3]),
    "regression": forecast,
    "embedding": lambda: dense("face", ["batch", 112, 112, 3], "direction", 128, ["batch", 128]),
    "detection": yard,
    "segmentation": road,
    "sequence": lambda: dense("line", ["batch", 1, 32, 100], "letters", 270, ["batch", 10, 27]),
    "outputs": quiet,
}


def rows(text: str) -> list[tuple[str, str, str, list[Any]]]:
    """`sent` or `given`, and the name, type and shape of each tensor of an example."""
    found = re.findall(r"^\| (sent|given) `(\S+)` \| (\w+) \| `\[(.*)\]` \|$", text, flags=re.MULTILINE)
    return [
        (way, name, kind, [int(axis) if axis.isdigit() else axis for axis in shape.split(", ")])
        for way, name, kind, shape in found
    ]


def told(signature: Signature) -> list[tuple[str, str, str, list[Any]]]:
    def row(way: str, tensor: Tensor) -> tuple[str, str, str, list[Any]]:
        return way, tensor.name, tensor.datatype, list(tensor.shape)

    return [row("sent", one) for one in signature.inputs] + [row("given", one) for one in signature.outputs]


def samples(shape: list[Any], datatype: str, rng: np.random.Generator) -> Any:
    sizes = [SIZES.get(axis, axis) for axis in shape[1:]]
    dtype = np.dtype(BY_NAME[datatype].numpy)
    if dtype.kind == "f":
        return rng.normal(0, 1, (8, *sizes)).astype(dtype)
    return rng.integers(0, 12 if dtype.itemsize > 2 else 200, (8, *sizes)).astype(dtype)


def test_there_is_an_example_of_every_task() -> None:
    assert set(EXAMPLES) == set(NETWORKS) == set(task_names())


@pytest.mark.parametrize("task", NETWORKS)
def test_a_model_as_on_the_page_takes_and_gives_what_the_page_says(task: str, tmp_path: Path) -> None:
    text, model, data = EXAMPLES[task], tmp_path / "model.onnx", tmp_path / "data.npz"
    onnx.save(NETWORKS[task](), model)
    rng, sent = np.random.default_rng(1), [row for row in rows(text) if row[0] == "sent"]
    arrays = {name: samples(shape, kind, rng) for _, name, kind, shape in sent}
    several = len(arrays) > 1
    parts = {f"x_{split}/{n}" if several else f"x_{split}": x for n, x in arrays.items() for split in ("val", "test")}
    np.savez(data, **parts)
    [card_text] = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    files = file_lines("onnx", model.name, model), file_lines("data", data.name, data)
    card = parse_card("\n".join((card_text, *files)))
    session = open_graph(model)
    opened = open_samples(session, card, data)
    val = opened.data.read("val")
    taken = take(session, card, opened, val)
    check_composed(model, card, taken, opened.made, val)
    assert (card.task, told(opened.made.signature(taken.signature))) == (task, rows(text))

    composed = compose_file(load_brought(model), taken.signature, opened.made, tmp_path / "composed.onnx")
    device = onnxruntime.InferenceSession(composed, providers=["CPUExecutionProvider"])
    answers = device.run(None, {name: x[:1] for name, x in arrays.items()})
    given = [row for row in rows(text) if row[0] == "given"]
    for answer, (_, _, kind, shape) in zip(answers, given, strict=True):
        assert list(answer.shape) == [SIZES.get(axis, axis) for axis in shape]
        assert answer.dtype == (object if kind == BYTES else np.dtype(BY_NAME[kind].numpy))
    for label in re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        task_named(task).label(json.loads(label), label_spec(taken))
