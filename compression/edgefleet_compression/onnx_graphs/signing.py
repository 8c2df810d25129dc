"""A network takes the place of a model of one input and one output: applications send and get what they did."""

from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto, helper

from edgefleet_compression.onnx_graphs.graph import put_first
from edgefleet_compression.onnx_graphs.names import numbered, read_instead, rename_all
from edgefleet_compression.onnx_graphs.node_writer import element_type
from edgefleet_protocol.signature import Signature, Tensor


def take_signature(graph: onnx.GraphProto, signature: Signature) -> None:
    """Give a graph the names, types and batch of a model's signature; in place.

    Args:
        graph: with one input and one output of float32, each with the batch first.
        signature: of one input and one output, each of as many axes.
    """
    [taken], [given] = signature.inputs, signature.outputs
    free = (name for name in numbered(graph) if name not in (taken.name, given.name))
    rename_all(graph, free)
    for end in (graph.input[0], graph.output[0]):  # the names of one may be wanted for the other
        _rename(graph, {end.name: (name := next(free))})
        end.name = name
    put_first(graph, _signed(graph, graph.input[0], taken, free, is_input=True))
    graph.node.extend(_signed(graph, graph.output[0], given, free, is_input=False))


def _signed(
    graph: onnx.GraphProto, value: onnx.ValueInfoProto, tensor: Tensor, free: Iterator[str], is_input: bool
) -> list[onnx.NodeProto]:
    """Sign one end of a graph; the cast that this takes, if any."""
    wanted, kind = element_type(tensor.datatype), value.type.tensor_type
    inner = tensor.name if wanted == TensorProto.FLOAT else next(free)
    _rename(graph, {value.name: inner})
    value.name = tensor.name
    kind.elem_type = wanted
    _sign_batch(kind.shape.dim[0], tensor)
    if inner == tensor.name:
        return []
    ends = ([tensor.name], [inner]) if is_input else ([inner], [tensor.name])
    return [helper.make_node("Cast", *ends, to=TensorProto.FLOAT if is_input else wanted)]


def _sign_batch(axis: onnx.TensorShapeProto.Dimension, tensor: Tensor) -> None:
    batch = tensor.shape[tensor.batch_axis]
    axis.Clear()
    if isinstance(batch, int):
        axis.dim_value = batch
    elif batch:
        axis.dim_param = batch


def _rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    read_instead(graph, new)
    for node in graph.node:
        node.output[:] = [new.get(name, name) for name in node.output]
