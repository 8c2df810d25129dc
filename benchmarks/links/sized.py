"""Models of a wanted size: random weights, which no compression makes smaller, in a network that really runs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.models.door.onnx_card import DATA_FILE, ONNX_FILE, card_for_onnx
from edgefleet_contract.card import CARD_FILE
from edgefleet_protocol.encoding import compress

FEATURES, CLASSES, SAMPLES = 16, 10, 96
PROBED = 4096
"""Hidden units of the network by which bytes a unit are found."""


@dataclass(frozen=True)
class SizedModel:
    """A model version whose full encoding has about `size_bytes`; another seed gives other bytes."""

    name: str
    version: int
    size_bytes: int

    @property
    def ref(self) -> str:
        """As the command line names it."""
        return f"{self.name}@{self.version}"

    def write(self, folder: Path) -> Path:
        """A folder that `model add` takes: card, ONNX file and samples."""
        folder.mkdir(parents=True)
        seed = np.random.SeedSequence([self.version, *self.name.encode()])
        network, data = folder / ONNX_FILE, folder / DATA_FILE
        units = max(1, round(self.size_bytes * PROBED / len(compress(_network(PROBED, seed)))))
        network.write_bytes(_network(units, seed))
        x = np.random.default_rng(0).normal(size=(3 * SAMPLES, FEATURES)).astype(np.float32)
        np.savez(data, x_calib=x[:SAMPLES], x_val=x[SAMPLES : 2 * SAMPLES], x_test=x[2 * SAMPLES :])
        (folder / CARD_FILE).write_text(card_for_onnx(network, data, name=self.name, version=self.version))
        return folder


def _network(units: int, seed: np.random.SeedSequence) -> bytes:
    """x [N, 16] -> logits [N, 10] over so many hidden units."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(FEATURES, units)).astype(np.float32)
    last = (draw.normal(size=(units, CLASSES)) / np.sqrt(units)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "w2"], ["logits"]),
        ],
        "of a wanted size",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(hidden, "w1"), numpy_helper.from_array(last, "w2")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())
