"""Storage quantization: weights travel as small integers and unfold to fp32 as the session loads."""

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.graph import attribute, strip
from edgefleet_compression.grid import LayerKind, Weights, find_grid, layer_kind, to_grid
from edgefleet_compression.states import OnnxState
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.step_configs import StorageQuantConfig

PACKED_LEVELS = 7


def storage_quant(state: OnnxState, config: StorageQuantConfig, context: Context) -> StepResult:
    """Replace each weight by integers, `Cast` and `Mul`, a form that onnxruntime folds without any option.

    Up to 4 bits are packed two to a byte (INT4); more take a byte each, whose idle levels zstd takes out again.

    Raises:
        NothingChanged: the graph holds no fp32 weight of a convolution or a linear layer.
    """
    model = onnx.load(state.path)
    graph = model.graph
    weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT}
    unfold: list[onnx.NodeProto] = []
    layers: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        weight = weights.pop(node.input[1])
        kind = _kind(node, weight, graph.input[0].name)
        axis = _output_axis(node)
        bits = int(getattr(config, kind))
        values: Weights = np.moveaxis(numpy_helper.to_array(weight), axis, 0)
        found = find_grid(values) if config.lossless else None
        integers, scales = found or to_grid(values, bits)
        unfold += _stored(graph, weight, integers, scales, axis)
        layers[kind] += 1
        context.progress(0.1, f"{sum(layers.values())} layers stored")
    if not layers:
        raise NothingChanged("storage_quant found no fp32 weight to store: put it after export, and only once")
    # Like beside like: zstd then codes the integers by their own few levels.
    stored = sorted(graph.initializer, key=lambda i: i.data_type == TensorProto.FLOAT)
    del graph.initializer[:]
    graph.initializer.extend(stored)
    nodes = [*unfold, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    path = context.folder / "stored.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return StepResult(OnnxState(path), {"layers": dict(layers), "file_bytes": path.stat().st_size})


def _kind(node: onnx.NodeProto, weight: TensorProto, graph_input: str) -> LayerKind:
    return layer_kind(
        first=node.input[0] == graph_input,
        rank=len(weight.dims) if node.op_type == "Conv" else 2,
        kernel=int(np.prod(weight.dims[2:])),
        groups=attribute(node, "group", 1),
    )


def _output_axis(node: onnx.NodeProto) -> int:
    """Which axis of a weight counts output channels."""
    if node.op_type == "Conv":
        return 0
    return 0 if attribute(node, "transB", 0) else 1


def _stored(
    graph: onnx.GraphProto, weight: TensorProto, integers: NDArray[np.int8], scales: Weights, axis: int
) -> list[onnx.NodeProto]:
    """Put integers and scales in the place of a weight; returns the nodes that unfold them under its name."""
    shape = [1] * integers.ndim
    shape[axis] = -1
    packed = TensorProto.INT4 if np.abs(integers).max(initial=0) <= PACKED_LEVELS else TensorProto.INT8
    whole, scale, cast = f"{weight.name}_q", f"{weight.name}_s", f"{weight.name}_c"
    ordered = np.ascontiguousarray(np.moveaxis(integers, 0, axis))
    graph.initializer.remove(weight)
    graph.initializer.append(_integers(whole, ordered, packed))
    graph.initializer.append(numpy_helper.from_array(scales.reshape(shape), scale))
    return [
        helper.make_node("Cast", [whole], [cast], to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, scale], [weight.name]),
    ]


def _integers(name: str, values: NDArray[np.int8], packed: int) -> TensorProto:
    if packed == TensorProto.INT8:
        return numpy_helper.from_array(values, name)
    nibbles = (values.reshape(-1) & 0xF).astype(np.uint8)
    if len(nibbles) % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    raw = (nibbles[::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()
    return helper.make_tensor(name, packed, values.shape, raw, raw=True)
