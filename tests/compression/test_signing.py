"""A student's file takes and gives what its model does: names, types and batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.onnx_graphs.signing import take_signature
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature, Tensor

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def student() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["taken"], ["logits"]),
        helper.make_node("MatMul", ["logits", "w"], ["v0"]),
        helper.make_node("Identity", ["v0"], ["given"]),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])]
        for name, size in (("taken", 4), ("given", 3))
    ]
    graph = helper.make_graph(nodes, "student", *ends, [numpy_helper.from_array(WEIGHT, "w")])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize("batch", ["n", 1, None])
@pytest.mark.parametrize(("taken", "given"), [("FP64", "FP64"), ("FP32", "FP32"), ("UINT8", "FP16")])
@pytest.mark.parametrize("names", [("x", "y"), ("given", "taken"), ("logits", "v0"), ("w", "v1"), ("v0", "v2")])
def test_a_graph_takes_and_gives_what_a_signature_says(
    taken: str, given: str, batch: Any, names: tuple[str, str], tmp_path: Path
) -> None:
    model = student()
    signature = Signature((Tensor(names[0], taken, (batch, 4)),), (Tensor(names[1], given, (batch, 3)),))
    take_signature(model.graph, signature)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString())
    (one,), (other,) = session.get_inputs(), session.get_outputs()
    assert (one.name, one.type) == (names[0], BY_NAME[taken].runtime)
    assert (other.name, other.type) == (names[1], BY_NAME[given].runtime)
    assert [one.shape, other.shape] == [[batch, 4], [batch, 3]]
    x = np.array([[1, 2, 3, 4]], BY_NAME[taken].numpy)
    np.testing.assert_allclose(session.run(None, {names[0]: x})[0], x.astype(np.float32) @ WEIGHT, 1e-3)
