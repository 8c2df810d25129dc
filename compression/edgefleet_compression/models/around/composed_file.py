"""Writes what devices get: a network, or what steps made of it, with pre- and postprocessing around it."""

from dataclasses import replace
from pathlib import Path

import onnx

from edgefleet_compression.models.around.pictures import Composition
from edgefleet_compression.onnx_graphs.composing import compose
from edgefleet_compression.onnx_graphs.graph import saved
from edgefleet_protocol.signature import Signature

REVISION = 1
"""Raise it when the same network and card become another file."""


def compose_file(model: onnx.ModelProto, network: Signature, made: Composition, path: Path) -> Path:
    """Compose a graph and write it.

    Args:
        model: the network, or a file that was made of it.
        network: what the network takes and gives; outputs may have other names in the file.
        made: what is put around it.
        path: where to write.

    Raises:
        GraphError: it cannot be composed.
    """
    outputs = zip(network.outputs, model.graph.output, strict=True)
    named = tuple(replace(tensor, name=value.name) for tensor, value in outputs)
    return saved(compose(model, replace(network, outputs=named), made.sent, made.given), path)
