"""Two graphs run alike if they do the same with the same numbers, however they are written."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.compression.odd_graphs import Odd, odd_graph

from edgefleet_compression.onnx_graphs.alike import runs_alike
from edgefleet_compression.onnx_graphs.graph import nodes
from edgefleet_compression.onnx_graphs.stripping import strip


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def renamed(model: onnx.ModelProto) -> None:
    strip(model)


def stored_last_first(model: onnx.ModelProto) -> None:
    tensors = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)


def branches_exchanged_in_the_file(model: onnx.ModelProto) -> None:
    for node in nodes(model.graph):
        if node.op_type == "If":
            told = list(node.attribute)[::-1]
            del node.attribute[:]
            node.attribute.extend(told)


def condition_first(model: onnx.ModelProto) -> None:
    """The nodes that nothing but the inputs feed move to the front."""
    found = {node.op_type: node for node in model.graph.node}
    early = [copied_node(found[kind]) for kind in ("ReduceMax", "Greater")]
    for node in early:
        model.graph.node.remove(node)
    for place, node in enumerate(early):
        model.graph.node.insert(place, node)


def copied_node(node: onnx.NodeProto) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    return made


def a_default_written_out(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "MatMul").doc_string = "words"
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    del flatten.attribute[:]  # its axis is 1 in any case


@pytest.mark.parametrize(
    "change",
    [renamed, stored_last_first, branches_exchanged_in_the_file, condition_first, a_default_written_out],
)
@pytest.mark.parametrize("home", ["if", "nested"])
def test_how_a_graph_is_written_does_not_count(home: str, change: Callable[[onnx.ModelProto], None]) -> None:
    model = odd_graph(Odd(home=home))  # type: ignore[arg-type]
    other = copied(model)
    change(other)
    assert other.SerializeToString() != model.SerializeToString()
    assert runs_alike(model, other) and runs_alike(other, model)


def branches_exchanged(model: onnx.ModelProto) -> None:
    branch = next(node for node in nodes(model.graph) if node.op_type == "If")
    branch.attribute[0].name, branch.attribute[1].name = branch.attribute[1].name, branch.attribute[0].name


def another_number(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "inner_weight")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0] = np.nextafter(values[0, 0], np.float32(9))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def another_setting(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "ReduceMax")
    node.attribute[0].i = 1


def another_layer_within(model: onnx.ModelProto) -> None:
    next(node for node in nodes(model.graph) if node.op_type == "Neg").op_type = "Abs"


def work_that_nothing_reads(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["v0"], ["unread"]))


@pytest.mark.parametrize(
    "change", [branches_exchanged, another_number, another_setting, another_layer_within, work_that_nothing_reads]
)
def test_what_a_graph_does_counts_to_the_last_bit(change: Callable[[onnx.ModelProto], None]) -> None:
    model = odd_graph(Odd(home="if"))
    other = copied(model)
    change(other)
    assert not runs_alike(model, other)


def test_inputs_of_a_subtraction_are_not_exchanged() -> None:
    def made(*inputs: str) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("a", "b", "y")]
        graph = helper.make_graph([helper.make_node("Sub", inputs, ["y"])], "g", values[:2], values[2:])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])

    assert runs_alike(made("a", "b"), made("a", "b")) and not runs_alike(made("a", "b"), made("b", "a"))
