"""Networks of linear and recurrent layers over the tiny pictures, as ONNX files with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HIDDEN = 32


def _stored(seed: int, **shapes: tuple[int, ...]) -> list[onnx.TensorProto]:
    random = np.random.default_rng(seed)
    return [
        numpy_helper.from_array((random.normal(size=shape) / 4).astype(np.float32), name)
        for name, shape in shapes.items()
    ]


def written(path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], opset: int = 21) -> Path:
    """A file that takes the tiny pictures and answers three classes."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def perceptron(path: Path, **gemm: Any) -> Path:
    """Two Gemm layers, as nn.Linear is exported; the first takes these attributes (transB, alpha, beta)."""
    shape = (HIDDEN, 64) if gemm.get("transB") else (64, HIDDEN)
    nodes = [
        helper.make_node("Flatten", ["input"], ["x"]),
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], **gemm),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"], transB=1),
    ]
    return written(path, nodes, _stored(1, w1=shape, b1=(HIDDEN,), w2=(3, HIDDEN), b2=(3,)))


def recurrent(path: Path, kind: str) -> Path:
    """A recurrent layer over the eight rows of a picture, and a linear layer."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    nodes = [
        helper.make_node("Squeeze", ["input", "one"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(kind, ["steps", "w", "r", "b"], ["", "h"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["h", "zero"], ["x"]),
        helper.make_node("MatMul", ["x", "head"], ["logits"]),
    ]
    shapes = {"w": (1, gates * HIDDEN, 8), "r": (1, gates * HIDDEN, HIDDEN), "b": (1, 2 * gates * HIDDEN)}
    axes = [numpy_helper.from_array(np.array([axis], np.int64), name) for name, axis in (("zero", 0), ("one", 1))]
    return written(path, nodes, [*_stored(2, **shapes, head=(HIDDEN, 3)), *axes])


def convolutional(path: Path) -> Path:
    """One convolution and a mean: nothing linear in it."""
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["m"]),
        helper.make_node("Flatten", ["m"], ["logits"]),
    ]
    return written(path, nodes, _stored(3, w=(3, 1, 3, 3)))
