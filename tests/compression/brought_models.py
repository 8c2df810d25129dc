"""ONNX files as others make them: a hand-written classifier of the tiny pictures, and ways to spoil it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Networks of the ONNX Model Zoo, with their structure whole and each weight a constant; they come with onnx."""
Spoil = Callable[[Path, onnx.ModelProto], None]


def classifier(
    *,
    opset: int = 11,
    batch: int | str = "n",
    elem: int = TensorProto.FLOAT,
    scaled_by: float = 1.0,
    nodes: list[onnx.NodeProto] | None = None,
    output: list[Any] | None = None,
    weight: Any = None,
) -> onnx.ModelProto:
    """Which third of an 8x8 picture is bright, as probabilities; IR version 3, so that the weight is an input too."""
    columns = np.zeros((8, 8, 3), np.float32)
    for label in range(3):
        columns[:, label * 3 : label * 3 + 2, label] = 0.25
    w = numpy_helper.from_array(columns.reshape(64, 3) * np.float32(scaled_by) if weight is None else weight, "w")
    given = [helper.make_node("Cast", ["input.1"], ["x"], to=TensorProto.FLOAT)]
    rest = nodes or [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        [*given, *rest],
        "somebody's",
        [
            helper.make_tensor_value_info("input.1", elem, [batch, 1, 8, 8]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, w.dims),
        ],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, output or [batch, 3])],
        [w],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


def trees(*, opset: int = 11) -> onnx.ModelProto:
    """What no step rounds: which of the classes 0 to 2 the picture's first pixel says, by one tree each."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node(
            "TreeEnsembleRegressor",
            ["flat"],
            ["scores"],
            domain="ai.onnx.ml",
            n_targets=3,
            nodes_treeids=[0, 0, 0, 1, 1, 1, 2, 2, 2],
            nodes_nodeids=[0, 1, 2] * 3,
            nodes_featureids=[0, 0, 0, 1, 0, 0, 3, 0, 0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 3,
            nodes_values=[0.5, 0.0, 0.0] * 3,
            nodes_truenodeids=[1, 0, 0] * 3,
            nodes_falsenodeids=[2, 0, 0] * 3,
            target_treeids=[0, 0, 1, 1, 2, 2],
            target_nodeids=[1, 2] * 3,
            target_ids=[0, 0, 1, 1, 2, 2],
            target_weights=[0.0, 1.0, 0.0, 2.0, 0.0, 3.0],
        ),
        helper.make_node("Softmax", ["scores"], ["probs"], axis=1),
    ]
    model = classifier(opset=opset, nodes=nodes)
    del model.graph.initializer[:], model.graph.input[1:]
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


def written(model: onnx.ModelProto, folder: Path, name: str = "bars.onnx") -> Path:
    """The model as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def data_file(folder: Path, **arrays: Any) -> Path:
    """An npz of these arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "data.npz", **arrays)
    return folder / "data.npz"


def outside(folder: Path, spoil: Spoil | None = None) -> Path:
    """The classifier with its weight in `weights/w.bin`, from byte 4096 on."""
    model = classifier()
    weight = model.graph.initializer[0]
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "w.bin").write_bytes(b"\0" * 4096 + weight.raw_data)
    told = {"location": "weights/w.bin", "offset": "4096", "length": str(len(weight.raw_data))}
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        weight.external_data.add(key=key, value=value)
    if spoil:
        spoil(folder, model)
    return written(model, folder)
