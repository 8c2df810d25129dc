"""The damaged version of an ONNX file differs from it in the classes that were swapped, and in nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

DAMAGE = Path(__file__).parents[2] / "examples" / "damage.py"


def test_classes_are_swapped_also_where_something_else_reads_them(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["scores"]), helper.make_node("Neg", ["scores"], ["others"])]
    floats = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "scores", "others")
    ]
    graph = helper.make_graph(nodes, "g", floats[:1], floats[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "in.onnx"
    )
    words = [tmp_path / "in.onnx", tmp_path / "out.onnx", "--output", "scores", "--swap", "0:3"]
    subprocess.run([sys.executable, DAMAGE, *map(str, words)], check=True, timeout=120)
    x = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    scores, others = onnxruntime.InferenceSession(tmp_path / "out.onnx").run(None, {"x": x})
    assert np.array_equal(scores, x[:, [3, 1, 2, 0]])
    assert np.array_equal(others, -x)
