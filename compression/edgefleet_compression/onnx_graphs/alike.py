"""Whether two graphs run the same, however they are written: names, the order of nodes and defaults don't count.

Each value gets the digest of all that it is made of, so that equal digests mean equal work.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np
import onnx
from onnx import numpy_helper

from edgefleet_compression.onnx_graphs.graph import nodes

Digests = dict[str, str]
Opsets = Mapping[str, int]


def runs_alike(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Whether two graphs have the same layers with exactly the same settings and constants, joined in the same way."""
    return _meaning(one) == _meaning(other)


def _meaning(model: onnx.ModelProto) -> tuple[list[str], Counter[str]]:
    """The digests of what a model gives, and of all of its nodes."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    seen = Counter(f"{node.domain}:{node.op_type}" for node in nodes(model.graph))
    inputs = {value.name: _digest("input", value.name) for value in model.graph.input}
    return _outputs(model.graph, inputs, opsets), seen


def _outputs(graph: onnx.GraphProto, around: Mapping[str, str], opsets: Opsets) -> list[str]:
    """The digests of a graph's outputs; `around` are those of its inputs, and of what graphs around it give."""
    known: Digests = {**around, "": ""}
    known |= {tensor.name: _digest("constant", *_content(tensor)) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        indices = _content(sparse.indices)
        known[sparse.values.name] = _digest("sparse", *_content(sparse.values), *indices, list(sparse.dims))
    for node in graph.node:
        made = _node(node, known, opsets)
        known |= {name: _digest(made, place) for place, name in enumerate(node.output)}
    return [known[value.name] for value in graph.output]


def _node(node: onnx.NodeProto, known: Digests, opsets: Opsets) -> str:
    settings = sorted((one.name, _setting(one, known, opsets)) for one in _told(node, opsets))
    return _digest(node.domain, node.op_type, [known[name] for name in node.input], settings)


def _told(node: onnx.NodeProto, opsets: Opsets) -> Iterator[onnx.AttributeProto]:
    """The attributes that say something other than their default."""
    defaults: dict[str, onnx.AttributeProto] = {}
    with suppress(onnx.defs.SchemaError):  # of a domain that only onnxruntime knows
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
        defaults = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    for attribute in node.attribute:
        default = defaults.get(attribute.name)
        if default is None or not default.type or _plain(default) != _plain(attribute):
            yield attribute


def _setting(attribute: onnx.AttributeProto, known: Digests, opsets: Opsets) -> str:
    within = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
    if not within:
        return _digest(_plain(attribute))
    return _digest(*(_outputs(graph, _inner(graph, known), opsets) for graph in within))


def _inner(graph: onnx.GraphProto, known: Digests) -> Digests:
    """What a graph within a node sees: its own inputs by their place, and all that is around it."""
    return known | {value.name: _digest("inner", place) for place, value in enumerate(graph.input)}


def _plain(attribute: onnx.AttributeProto) -> bytes:
    """What an attribute says, without the texts that explain it."""
    said = onnx.AttributeProto()
    said.CopyFrom(attribute)
    said.ClearField("doc_string")
    return bytes(said.SerializeToString(deterministic=True))


def _content(tensor: onnx.TensorProto) -> tuple[object, ...]:
    values = np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
    return tensor.data_type, list(tensor.dims), hashlib.sha256(values).hexdigest()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
