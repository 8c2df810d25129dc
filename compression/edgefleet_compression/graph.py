"""Small operations on ONNX graphs that more than one step needs."""

import itertools

import onnx


def strip(model: onnx.ModelProto) -> None:
    """Take out what no session reads and every device would download, and give values short names; in place."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "", ""
    graph = model.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    graph.doc_string, graph.name = "", "g"
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    _shorten(graph)


def _shorten(graph: onnx.GraphProto) -> None:
    """Name nodes and inner values by number, in order: the same graph always has the same bytes."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    numbers = itertools.count()
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        if name in kept:
            return name
        if name not in short:
            short[name] = f"v{next(numbers)}"
        return short[name]

    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for initializer in graph.initializer:
        initializer.name = rename(initializer.name)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)
