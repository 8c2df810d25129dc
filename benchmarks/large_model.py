"""An ONNX file of any size, with weights that hardly compress, and samples for it."""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4096
"""Of each layer: 64 MB of weights in fp32."""
SAMPLES, CLASSES = 240, 3
MB = 2**20


def write_large_model(folder: Path, size_mb: int, width: int = WIDTH) -> tuple[Path, Path]:
    """Write `large.onnx`, of at least so many MB, and `large.npz`; one sample takes one multiplication a weight."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    layers = max(1, -(-size_mb * MB // (width * width * 4)))
    shapes = [(64, width), *[(width, width)] * layers, (width, CLASSES)]
    weights, nodes, last = [], [helper.make_node("Flatten", ["x"], ["h0"], axis=1)], len(shapes) - 1
    for index, shape in enumerate(shapes):
        drawn = rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / shape[0]) ** 0.5)
        weights.append(numpy_helper.from_array(drawn, f"w{index}"))
        given = "logits" if index == last else f"m{index}"
        nodes.append(helper.make_node("MatMul", [f"h{index}", f"w{index}"], [given]))
        if index < last:
            nodes.append(helper.make_node("Relu", [given], [f"h{index + 1}"]))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx_path, data = folder / "large.onnx", folder / "large.npz"
    onnx.save_model(model, onnx_path)
    pictures = rng.integers(0, 255, (SAMPLES, 1, 8, 8), dtype=np.uint8)
    np.savez_compressed(data, x=pictures, y=rng.integers(0, CLASSES, SAMPLES))
    return onnx_path, data


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size_mb", type=int)
    options = parser.parse_args()
    print(*write_large_model(options.folder, options.size_mb))
