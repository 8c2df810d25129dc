"""Biases of Gemm as our own exports have them: one number for each output, which every quantizer takes."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgefleet_compression.onnx_graphs.graph import attribute, graphs
from edgefleet_compression.onnx_graphs.names import drop_unused, readers


def plain_biases(graph: onnx.GraphProto) -> None:
    """Write each stored bias of a Gemm, [1, N], [1] or a number, as [N]; in place.

    Folding puts them there: MatMul and Add become a Gemm, whose bias may have any of these shapes.
    """
    for one in graphs(graph):
        stored = {tensor.name: tensor for tensor in one.initializer}
        taken = readers(graph).keys() | stored.keys()
        for node in one.node:
            if node.op_type != "Gemm" or len(node.input) < 3:
                continue
            weight, bias = stored.get(node.input[1]), stored.get(node.input[2])
            if weight is None or bias is None or bias.data_type != TensorProto.FLOAT:
                continue
            outputs = weight.dims[0 if attribute(node, "transB", 0) else 1]
            values = numpy_helper.to_array(bias)
            if list(bias.dims) == [outputs] or values.size not in (1, outputs):
                continue
            name = next(n for number in range(len(taken) + 1) if (n := f"{bias.name}_{number}") not in taken)
            taken |= {name}
            flat = np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (outputs,)))
            one.initializer.append(numpy_helper.from_array(flat, name))
            node.input[2] = name
    drop_unused(graph)
