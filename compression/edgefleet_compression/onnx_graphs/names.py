"""Names of values in an ONNX graph: who reads them, here or in a graph within a node, and other ones in their place.

A graph within a node (of If, Loop and Scan) may read every value of the graphs around it. So what reads a name, and
what needs no name, is asked here and nowhere else.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from edgefleet_compression.onnx_graphs.graph import graphs, subgraphs


def readers(graph: onnx.GraphProto) -> Counter[str]:
    """How often each name is read: by nodes, also of graphs within nodes, and as an output of any of these graphs."""
    found: Counter[str] = Counter()
    for one in graphs(graph):
        found.update(name for node in one.node for name in node.input if name)
        found.update(value.name for value in one.output)
    return found


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and tensors that nothing reads; in place. Graphs within nodes stay as they are."""
    while True:
        used = readers(graph)
        idle = [node for node in graph.node if not any(used[name] for name in node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [t for t in graph.initializer if not used[t.name]]:
        graph.initializer.remove(tensor)


def read_instead(graph: onnx.GraphProto, other: Mapping[str, str]) -> None:
    """Let everything that reads a name read the other one that is given for it; in place.

    What a graph within a node defines by that name itself is another value, and stays.
    """
    for node in graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]
        for inner in subgraphs(node):
            seen = {name: new for name, new in other.items() if name not in _defined(inner)}
            read_instead(inner, seen)
            for value in inner.output:
                value.name = seen.get(value.name, value.name)


def rename_all(graph: onnx.GraphProto, new: Iterator[str]) -> None:
    """Give every value but the graph's own inputs and outputs a new name, in the order of the graph; in place.

    No name is given twice, also where graphs within nodes name their own values alike.

    Args:
        graph: what to rename in.
        new: the new names, each another one.
    """
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    scope = _Scope(frozenset(), None, (name for name in new if name not in kept))
    scope.names.update({name: name for name in kept})
    _rename_in(graph, scope)


@dataclass
class _Scope:
    """The new names of what one graph defines; for others, those of the graphs around it."""

    defined: frozenset[str]
    around: "_Scope | None"
    free: Iterator[str]
    names: dict[str, str] = field(default_factory=dict)

    def rename(self, name: str) -> str:
        if self.around is not None and name not in self.defined:
            return self.around.rename(name)
        if name not in self.names:
            self.names[name] = next(self.free)
        return self.names[name]


def _rename_in(graph: onnx.GraphProto, scope: _Scope) -> None:
    inner = scope.around is not None
    for value in graph.input if inner else ():
        value.name = scope.rename(value.name)
    for node in graph.node:
        node.input[:] = [scope.rename(name) for name in node.input]
        node.output[:] = [scope.rename(name) for name in node.output]
        for within in subgraphs(node):
            _rename_in(within, _Scope(_defined(within), scope, scope.free))
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        tensor.name = scope.rename(tensor.name)
    for value in graph.output if inner else ():
        value.name = scope.rename(value.name)


def _defined(graph: onnx.GraphProto) -> frozenset[str]:
    """What a graph gives a name to, without the graphs within its nodes."""
    stored = (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer))
    given = (name for node in graph.node for name in node.output)
    return frozenset([*given, *(value.name for value in graph.input), *(tensor.name for tensor in stored)]) - {""}


def numbered(graph: onnx.GraphProto) -> Iterator[str]:
    """Names v0, v1, ... that no input or output of the graph has."""
    prefix = prefix_for(graph, "v")
    return (f"{prefix}{number}" for number in itertools.count())


def prefix_for(graph: onnx.GraphProto, prefix: str) -> str:
    """A beginning of names, such as this one, that no input or output of the graph has before a number."""
    kept = [value.name for value in (*graph.input, *graph.output)]
    while any(re.match(rf"{prefix}\d", name) for name in kept):
        prefix += prefix[-1]
    return prefix
