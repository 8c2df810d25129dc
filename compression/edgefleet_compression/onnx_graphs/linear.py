"""Linear layers as MatMul and Add: the library's quantizers silently skip Gemm."""

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.onnx_graphs.graph import attribute
from edgefleet_compression.onnx_graphs.names import drop_unused


def gemms_to_matmuls(model: onnx.ModelProto) -> int:
    """Rewrite each Gemm whose weight is stored, in place: the same answers, as far as fp32 rounds alike.

    `alpha`, `beta` and `transB` go into copies of the tensors; a Gemm that transposes its input stays.

    Returns:
        How many were rewritten.
    """
    graph = model.graph
    stored = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    nodes: list[onnx.NodeProto] = []
    rewritten = 0
    for node in graph.node:
        bias = node.input[2] if len(node.input) > 2 else ""
        beta = _factor(node, "beta")
        fits = node.op_type == "Gemm" and node.input[1] in stored and not attribute(node, "transA", 0)
        if not fits or (bias and beta != 1 and bias not in stored):
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(stored[node.input[1]]) * _factor(node, "alpha")
        weight = weight.T if attribute(node, "transB", 0) else weight
        name = f"{node.output[0]}_weight"
        graph.initializer.append(numpy_helper.from_array(weight.astype("float32").copy(), name))
        product = f"{node.output[0]}_product" if bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [product], name=product))
        if bias:
            if beta != 1:
                scaled = (numpy_helper.to_array(stored[bias]) * beta).astype("float32")
                bias = f"{node.output[0]}_bias"
                graph.initializer.append(numpy_helper.from_array(scaled, bias))
            nodes.append(helper.make_node("Add", [product, bias], [node.output[0]], name=f"{node.output[0]}_add"))
        rewritten += 1
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return rewritten


def _factor(node: onnx.NodeProto, name: str) -> float:
    return next((float(a.f) for a in node.attribute if a.name == name), 1.0)
