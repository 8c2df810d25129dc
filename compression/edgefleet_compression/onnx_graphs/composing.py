"""Puts pre- and postprocessing into a graph, as standard nodes in float around a network that stays as it is.

Nodes are put in by hand: `onnx.compose` wants equal opsets and IR versions, and loses functions. The graph's inputs and
outputs keep their names, so that applications see one model, whether it was composed or not.
"""

from dataclasses import replace

import onnx
from onnx import helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.answer_nodes import (
    TOP_CLASSES,
    TOP_NAMES,
    TOP_SCORES,
    write_sigmoid,
    write_softmax,
    write_top,
)
from edgefleet_compression.onnx_graphs.box_nodes import BoxNodes
from edgefleet_compression.onnx_graphs.composed import (
    AS_IT_IS,
    DETECTIONS,
    check,
    composed_signature,
    input_of,
    read_by,
    sent_tensor,
)
from edgefleet_compression.onnx_graphs.graph import put_first
from edgefleet_compression.onnx_graphs.names import read_instead
from edgefleet_compression.onnx_graphs.node_writer import NodeWriter, all_names, element_type, free_prefix
from edgefleet_compression.onnx_graphs.opsets import raised, without_stored_inputs
from edgefleet_compression.onnx_graphs.picture_nodes import Placement, write_input
from edgefleet_compression.onnx_graphs.sent import GivenAnswers, SentInput
from edgefleet_protocol.signature import Signature, Tensor

OPSET = 18
"""The first in which a resize takes all pixels into account, as Pillow does."""
PLAIN_OPSET = 7
"""From this on, nodes for numbers and channels are written alike."""


def compose(
    network: onnx.ModelProto, signature: Signature, sent: SentInput | None, given: GivenAnswers = AS_IT_IS
) -> onnx.ModelProto:
    """A graph that takes what applications send, and gives what they are given.

    Args:
        network: the graph; it is not changed.
        signature: what it takes and gives.
        sent: what is sent for one of its inputs; None leaves all of them.
        given: what becomes of its outputs.

    Returns:
        The composed graph; the network itself if there is nothing to compose.

    Raises:
        GraphError: one line that says why this cannot be composed.
    """
    check(signature, sent, given)
    if sent is None and given == AS_IT_IS:
        return network
    model = onnx.ModelProto()
    model.CopyFrom(without_stored_inputs(raised(network, _least_opset(sent, given))))
    graph = model.graph
    told = composed_signature(signature, sent, given)
    before, after = (NodeWriter(free_prefix(graph, prefix)) for prefix in ("pre_", "post_"))
    placement = None if sent is None else _put_before(graph, signature, sent, before)
    _put_after(graph, signature, given, after, placement)
    put_first(graph, before.nodes)
    graph.node.extend(after.nodes)
    graph.initializer.extend((*before.constants, *after.constants))
    _retype(graph, signature, told)
    return model


def preprocessing_alone(signature: Signature, sent: SentInput) -> onnx.ModelProto:
    """A graph that only makes of what is sent what the network takes, under the input's own name."""
    tensor, writer = input_of(signature, sent), NodeWriter("pre_")
    name = f"{tensor.name}_sent"
    write_input(writer, replace(sent, input=name), tensor, tensor.name)
    given = _value(replace(sent_tensor(tensor, sent), name=name))
    graph = helper.make_graph(writer.nodes, "preprocessing", [given], [_value(tensor)], writer.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _least_opset(sent: SentInput | None, given: GivenAnswers) -> int:
    sized = sent is not None and sent.picture is not None and sent.picture.resize is not None
    return OPSET if sized or given.boxes is not None or given.top is not None else PLAIN_OPSET


def _put_before(graph: onnx.GraphProto, signature: Signature, sent: SentInput, w: NodeWriter) -> Placement | None:
    if sent.input in {value.name for value in graph.output}:
        raise GraphError(f"'{sent.input[:60]}' is an output, too: it would be given as it was sent")
    target = w.name()
    read_instead(graph, {sent.input: target})
    return write_input(w, sent, input_of(signature, sent), target)


def _put_after(
    graph: onnx.GraphProto,
    signature: Signature,
    given: GivenAnswers,
    w: NodeWriter,
    placement: Placement | None,
) -> None:
    ours = ((DETECTIONS,) if given.boxes else ()) + ((TOP_CLASSES, TOP_SCORES, TOP_NAMES) if given.top else ())
    names = [_freed(graph, tensor.name) if tensor.name in ours else tensor.name for tensor in signature.outputs]
    for name in set(ours) & all_names(graph):
        _freed(graph, name)
    gone = set() if given.boxes is None else read_by(given.boxes.reading)
    for place, tensor in enumerate(signature.outputs):
        softmax = tensor.name in given.softmax
        if not softmax and (tensor.name not in given.sigmoid or place in gone):
            continue
        names[place] = _renamed(graph, names[place], w.name())
        gives = "" if place in gone else tensor.name
        if softmax:
            names[place] = write_softmax(w, names[place], tensor, gives)
        else:
            names[place] = write_sigmoid(w, names[place], tensor.datatype, gives)
    if given.top is not None:
        write_top(w, names[signature.output_named(given.top.output)], given.top)
    if given.boxes is not None:
        reader = BoxNodes(w, _as_read(signature, given), tuple(names), frozenset(given.sigmoid))
        w.node("Identity", reader.write(given.boxes, placement), gives=DETECTIONS)


def _as_read(signature: Signature, given: GivenAnswers) -> Signature:
    """The network's outputs as boxes are read from: what had a softmax is float32."""
    outputs = (replace(one, datatype="FP32") if one.name in given.softmax else one for one in signature.outputs)
    return replace(signature, outputs=tuple(outputs))


def _renamed(graph: onnx.GraphProto, name: str, new: str) -> str:
    """Give an output's value another name, so that its own is free; in place."""
    if name in {value.name for value in graph.input}:
        raise GraphError(f"'{name[:60]}' is an input and an output: nothing can be made of it on the way")
    read_instead(graph, {name: new})
    for node in graph.node:
        node.output[:] = [new if one == name else one for one in node.output]
    for stored in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        stored.name = new if stored.name == name else stored.name
    return new


def _freed(graph: onnx.GraphProto, name: str) -> str:
    """Free a name for an output of ours; the new one of what had it."""
    return _renamed(graph, name, free_prefix(graph, f"{name}_"))


def _retype(graph: onnx.GraphProto, before: Signature, after: Signature) -> None:
    """Declare the inputs and outputs that are new or changed; in place."""
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if old != new:
            [at] = [n for n, value in enumerate(graph.input) if value.name == new.name]
            graph.input[at].CopyFrom(_value(new))
    kept = {value.name: value for value in graph.output}
    same = {tensor.name for tensor in before.outputs if tensor in after.outputs}
    outputs = [kept[one.name] if one.name in same else _value(one) for one in after.outputs]
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    del graph.output[:]
    graph.output.extend(copies)
    told = {value.name for value in (*graph.input, *graph.output)}
    known = [value for value in graph.value_info if value.name not in told]
    del graph.value_info[:]
    graph.value_info.extend(known)


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, element_type(tensor.datatype), list(tensor.shape))
