"""Surgery on a graph in QDQ form: layers back to float, or one layer alone in 8 bits."""

from collections.abc import Collection

import onnx

from edgefleet_compression.onnx_graphs.int8 import TAILS
from edgefleet_compression.onnx_graphs.names import drop_unused, read_instead
from edgefleet_compression.onnx_graphs.regions import ACTIVATIONS, with_followers


def in_float(quantized: onnx.ModelProto, source: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """The quantized graph with some layers computing in float again, and with them what follows each of them alone.

    Args:
        quantized: what onnxruntime made of `source`; activations that it could drop must have been kept.
        source: the float graph, with the same names of nodes and tensors.
        layers: names of nodes.
    """
    region = with_followers(source.graph, layers)
    made = onnx.ModelProto()
    made.CopyFrom(quantized)
    graph = made.graph
    by_output = {output: node for node in graph.node for output in node.output}
    originals = {node.name: node for node in source.graph.node}
    weights = {tensor.name: tensor for tensor in source.graph.initializer}
    stored: set[str] = set()
    for node in graph.node:
        if node.op_type in ACTIVATIONS:
            # What a layer gives is rounded once, after its activation; before it, float would be lost for nothing.
            node.input[0] = _before(node.input[0], by_output)
        if node.name not in region:
            continue
        for position, name in enumerate(originals[node.name].input):
            if name in weights:
                # Its own name may be that of the node that unfolds the rounded one.
                whole = f"{name}_float"
                if whole not in stored:
                    stored.add(whole)
                    graph.initializer.add().CopyFrom(weights[name])
                    graph.initializer[-1].name = whole
                node.input[position] = whole
            else:
                node.input[position] = _before(node.input[position], by_output)
    drop_unused(graph)
    return made


def answers_in_float(quantized: onnx.ModelProto) -> None:
    """Remove the rounding of the graph's outputs, and of what a final softmax takes; in place.

    Nothing computes with the answers any more, and 256 levels between the least and the greatest logit make near ones
    equal.
    """
    graph = quantized.graph
    by_output = {output: node for node in graph.node for output in node.output}
    given = {value.name for value in graph.output}
    for node in [n for n in graph.node if n.op_type in TAILS and given.intersection(n.output)]:
        node.input[0] = _before(node.input[0], by_output)
    for name in given:
        before = _before(name, by_output)
        if before == name or before not in by_output:
            continue
        by_output[name].output[0] = f"{name}_rounded"
        read_instead(graph, {before: name})
        for node in graph.node:
            node.output[:] = [name if one == before else one for one in node.output]
    drop_unused(graph)


def _before(name: str, by_output: dict[str, onnx.NodeProto]) -> str:
    """The float tensor that was rounded into `name`."""
    unfold = by_output.get(name)
    if unfold is None or unfold.op_type != "DequantizeLinear":
        return name
    fold = by_output.get(unfold.input[0])
    return fold.input[0] if fold is not None and fold.op_type == "QuantizeLinear" else name
