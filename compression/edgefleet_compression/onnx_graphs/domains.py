"""Whose operators a graph is made of: the standard's, or others. Nodes count; imports without any do not."""

import onnx

from edgefleet_compression.onnx_graphs.graph import nodes

STANDARD = frozenset({"", "ai.onnx"})
"""The two names of the domain of standard operators."""


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of a model's standard operators; 0 if it imports none."""
    return max((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD), default=0)


def foreign_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes of a graph and its subgraphs that are no standard operators."""
    return [node for node in nodes(graph) if node.domain not in STANDARD]


def operator_of(node: onnx.NodeProto) -> str:
    """An operator as people write it: `Conv`, `com.microsoft.FusedConv`."""
    return node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"


def keep_used_imports(model: onnx.ModelProto) -> None:
    """Remove the imports of domains that no node is of; in place."""
    used = {node.domain for node in foreign_nodes(model.graph)} | STANDARD
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
