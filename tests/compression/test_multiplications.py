"""Multiplications of layers: as torch's own count of them."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.compression.contexts import context_in
from torch.utils.flop_counter import FlopCounterMode

from edgefleet_compression.models.states import TorchState
from edgefleet_compression.onnx_graphs.multiplications import multiplications
from edgefleet_compression.steps import export
from edgefleet_compression.steps.export import ExportConfig


class Network(torch.nn.Module):
    """Convolutions, plain, strided and depthwise, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, stride=2, padding=1),
            torch.nn.Conv2d(8, 8, 3, groups=8),
            torch.nn.Conv2d(8, 12, 1),
            torch.nn.Flatten(),
            torch.nn.Linear(12 * 2 * 2, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.layers(x)
        return answers


def test_they_are_those_that_torch_counts(tmp_path: Path, tiny_files: dict[str, Path]) -> None:
    network, x = Network().eval(), torch.rand(1, 1, 8, 8)
    with FlopCounterMode(display=False) as counter:
        network(x)
    context = context_in(tmp_path, tiny_files)
    path = export.run(TorchState("none", {}, (1, 8, 8), 10, network), ExportConfig(), context).state.path
    model = onnx.load(path)
    layers = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    found = multiplications(model, layers, {model.graph.input[0].name: x.numpy()})
    assert len(found) == 4 and sum(found.values()) * 2 == counter.get_total_flops()


def test_a_product_of_two_activations_and_a_turned_one_count_alike() -> None:
    weight = numpy_helper.from_array(np.ones((5, 7), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["c"], name="batched"),
        helper.make_node("Reshape", ["c", "shape"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w"], ["d"], name="turned", transA=1),
    ]
    given = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 2, 3, 4]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 2, 4, 5]),
    ]
    shape = numpy_helper.from_array(np.array([5, 6]), "shape")
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("d", 1, None)], [weight, shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"a": np.ones((1, 2, 3, 4), np.float32), "b": np.ones((1, 2, 4, 5), np.float32)}
    found = multiplications(model, {"batched", "turned"}, feed)
    assert found == {"batched": 2 * 3 * 4 * 5, "turned": 6 * 5 * 7}
