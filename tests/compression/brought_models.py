"""ONNX files as others make them: a hand-written classifier of the tiny pictures, and ways to spoil it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Networks of the ONNX Model Zoo, with their structure whole and each weight a constant; they come with onnx."""


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
