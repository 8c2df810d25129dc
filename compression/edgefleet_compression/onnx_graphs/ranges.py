"""Ranges of activations that training found, carried from a module to the file that is quantized.

The exporter writes a node of our own where a range belongs. It is taken out again, so that the file is the float
network, and what it said stands in the file's metadata until static int8 reads it.
"""

import json

import onnx

from edgefleet_compression.onnx_graphs.names import read_instead

DOMAIN = "edgefleet"
MARK = f"{DOMAIN}::Range"
KEY = "ranges"
Ranges = dict[str, tuple[float, float]]


def take_out(model: onnx.ModelProto) -> None:
    """Replace each mark by a line in the metadata; in place."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    ranges: Ranges = {}
    for node in [n for n in graph.node if n.domain == DOMAIN]:
        graph.node.remove(node)
        kept = node.output[0] if node.output[0] in outputs else node.input[0]
        _rename(graph, {node.input[0], node.output[0]}, kept)
        span = {attribute.name: attribute.f for attribute in node.attribute}
        ranges[kept] = (span["low"], span["high"])
    for entry in [e for e in model.opset_import if e.domain == DOMAIN]:
        model.opset_import.remove(entry)
    if ranges:
        model.metadata_props.add(key=KEY, value=json.dumps(ranges))


def ranges_of(model: onnx.ModelProto) -> Ranges:
    """The ranges in a file's metadata, by tensor; empty if training left none."""
    texts = [entry.value for entry in model.metadata_props if entry.key == KEY]
    known = {name for node in model.graph.node for name in node.output} | {value.name for value in model.graph.input}
    found: Ranges = json.loads(texts[0]) if texts else {}
    return {name: (span[0], span[1]) for name, span in found.items() if name in known}


def _rename(graph: onnx.GraphProto, names: set[str], to: str) -> None:
    read_instead(graph, dict.fromkeys(names, to))
    for node in graph.node:
        node.output[:] = [to if name in names else name for name in node.output]
