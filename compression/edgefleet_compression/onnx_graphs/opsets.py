"""Raises the opset of a graph where nodes of ours need a newer one."""

import onnx
from onnx import helper, inliner, version_converter

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.domains import STANDARD, opset_of

IR_OF_STORED, IR_OF_OPSET_18 = 4, 8


def raised(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """The same graph with at least this opset; the model itself if it has it.

    Raises:
        GraphError: onnx cannot rewrite it.
    """
    if (found := opset_of(model)) >= least:
        return model
    if not found:
        made = onnx.ModelProto()
        made.CopyFrom(model)
        made.opset_import.append(helper.make_opsetid("", least))
    else:
        made = _converted(model, least)
    made.ir_version = max(made.ir_version, IR_OF_OPSET_18)
    return made


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        # Functions have opsets of their own, which onnxruntime does not take beside a newer one.
        plain = inliner.inline_local_functions(model) if model.functions else model
        made = version_converter.convert_version(without_stored_inputs(plain), opset)
    except Exception as error:  # a binding's own types
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise GraphError(
            f"the graph cannot be raised from opset {opset_of(model)} to {opset} ({told}): export it with {opset}"
        ) from None
    kept = {entry.domain for entry in made.opset_import}
    made.opset_import.extend(entry for entry in plain.opset_import if entry.domain not in kept | STANDARD)
    return made


def without_stored_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without weights among its inputs, where files before IR version 4 list them; the model itself without such."""
    stored = {tensor.name for tensor in model.graph.initializer}
    if not any(value.name in stored for value in model.graph.input):
        return model
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.input[:]
    made.graph.input.extend(value for value in model.graph.input if value.name not in stored)
    made.ir_version = max(made.ir_version, IR_OF_STORED)
    return made
