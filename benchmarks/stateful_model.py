"""A small model with state, in as many versions as are wanted: a GRU whose answers depend on all that came before."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefleet_contract.card import CARD_FILE
from edgefleet_protocol.canonical import digest

WIDTH, HIDDEN, CLASSES = 16, 64, 3
GIVEN, GIVES = "h", "hn"
STEPS, SEQUENCES = 12, 24
CARD = """name = "{name}"
version = {version}
door = "onnx"
task = "classification"
labels = ["still", "slow", "fast"]

[onnx]
file = "model.onnx"
sha256 = "{onnx}"

[data]
file = "data.npz"
sha256 = "{data}"

[[state]]
input = "h"
output = "hn"

[states]
carries = {carries}
"""


def state_shape(hidden: int = HIDDEN) -> tuple[int, int, int]:
    """Of the model's state."""
    return 1, 1, hidden


def onnx_bytes(version: int, hidden: int = HIDDEN) -> bytes:
    """x [batch,16], h [1,batch,hidden] -> y [batch,3], hn: a GRU and a linear layer; a version has its weights."""
    rng = np.random.default_rng(version)
    sizes = {"w": (1, 3 * hidden, WIDTH), "r": (1, 3 * hidden, hidden), "out": (hidden, CLASSES)}
    weights = [numpy_helper.from_array(rng.normal(0, 0.4, s).astype(np.float32), name) for name, s in sizes.items()]
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["steps"]),
        helper.make_node("GRU", ["steps", "w", "r", "", "", GIVEN], ["", GIVES], hidden_size=hidden),
        helper.make_node("Squeeze", [GIVES, "axes"], ["last"]),
        helper.make_node("MatMul", ["last", "out"], ["y"]),
    ]
    floats, state = TensorProto.FLOAT, (1, "batch", hidden)
    graph = helper.make_graph(
        nodes,
        "gru",
        [
            helper.make_tensor_value_info("x", floats, ["batch", WIDTH]),
            helper.make_tensor_value_info(GIVEN, floats, state),
        ],
        [
            helper.make_tensor_value_info("y", floats, ["batch", CLASSES]),
            helper.make_tensor_value_info(GIVES, floats, state),
        ],
        [*weights, numpy_helper.from_array(np.array([0], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def model_folder(folder: Path, name: str, version: int, *, carries: bool = True, hidden: int = HIDDEN) -> Path:
    """A folder to register: the file, whole sequences as samples, and a card that pairs the state."""
    folder.mkdir(parents=True)
    rng, file, data = np.random.default_rng(0), folder / "model.onnx", folder / "data.npz"
    file.write_bytes(onnx_bytes(version, hidden))
    sizes = (SEQUENCES, STEPS, WIDTH)
    splits: dict[str, Any] = {f"x_{one}": rng.normal(size=sizes).astype("f4") for one in ("calib", "val", "test")}
    np.savez(data, **splits)
    digests = {"onnx": digest(file.read_bytes()), "data": digest(data.read_bytes())}
    (folder / CARD_FILE).write_text(CARD.format(name=name, version=version, carries=str(carries).lower(), **digests))
    return folder
