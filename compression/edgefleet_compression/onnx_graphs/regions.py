"""Which nodes of a float graph belong together where some of it computes in 8 bits: layers with what follows them."""

from collections.abc import Collection

import onnx

from edgefleet_compression.onnx_graphs.domains import STANDARD
from edgefleet_compression.onnx_graphs.graph import graphs, subgraphs
from edgefleet_compression.onnx_graphs.weighted_nodes import WEIGHTS

LOOKUPS = frozenset({"Gather"})
ACTIVATIONS = ("Relu", "Clip")
"""What rounding to a range does as well: after a layer they cost nothing."""


def tail(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes that no layer with weights comes after: they make answers of what the last layers give.

    They hardly take time, and 8 bits would erase much: a tensor of boxes, or of one detector's boxes and scores, has
    coordinates up to hundreds and scores up to one.
    """
    stored = {tensor.name for tensor in graph.initializer}
    before_layers: set[str] = set()
    found: list[str] = []
    for node in reversed(graph.node):
        read = _reads(node)
        if before_layers.intersection(node.output) or is_layer(node, stored) or _holds_layers(node):
            before_layers |= read
        else:
            found.append(node.name)
    made_by_layers = {name for node in graph.node if is_layer(node, stored) for name in node.output}
    fused = {n.name for n in graph.node if n.op_type in ACTIVATIONS and n.input and n.input[0] in made_by_layers}
    return [name for name in reversed(found) if name and name not in fused]  # one without a name would name them all


def with_followers(graph: onnx.GraphProto, layers: Collection[str]) -> set[str]:
    """Layers by name, each with the nodes that read nothing else that changes: its activation, of whatever nodes."""
    stored = {tensor.name for tensor in graph.initializer}
    region, given = set(layers), set[str]()
    for node in graph.node:
        changing = {name for name in node.input if name and name not in stored}
        if node.name not in region and not is_layer(node, stored) and changing and changing <= given:
            region.add(node.name)
        if node.name in region:
            given.update(node.output)
    return region


def is_layer(node: onnx.NodeProto, stored: Collection[str]) -> bool:
    """Whether a node multiplies with weights that are stored."""
    if node.domain not in STANDARD or node.op_type in LOOKUPS:
        return False
    return any(place < len(node.input) and node.input[place] in stored for place in WEIGHTS.get(node.op_type, ()))


def _reads(node: onnx.NodeProto) -> set[str]:
    """What a node reads, also from within its graphs."""
    within = {name for inner in subgraphs(node) for one in graphs(inner) for each in one.node for name in each.input}
    return {*node.input, *within} - {""}


def _holds_layers(node: onnx.NodeProto) -> bool:
    return any(each.op_type in WEIGHTS for inner in subgraphs(node) for one in graphs(inner) for each in one.node)
