"""What no session reads is removed from a file: every device would download it."""

import onnx

from edgefleet_compression.onnx_graphs.graph import graphs, nodes
from edgefleet_compression.onnx_graphs.names import numbered, rename_all


def strip(model: onnx.ModelProto) -> None:
    """Remove what no session reads, and shorten names; in place. The same model always has the same bytes."""
    del model.metadata_props[:]
    del model.training_info[:]
    # Cleared, for an empty text that is set takes two bytes.
    for field in ("doc_string", "producer_name", "producer_version"):
        model.ClearField(field)
    for graph in graphs(model.graph):
        _strip_graph(graph)
    for index, node in enumerate(nodes(model.graph)):
        node.name = f"n{index}"
    rename_all(model.graph, numbered(model.graph))


def _strip_graph(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    del graph.metadata_props[:]
    graph.ClearField("doc_string")
    graph.name = "g"
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
