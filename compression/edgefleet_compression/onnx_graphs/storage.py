"""Small integers in an ONNX file: packed as their range allows, unfolded by nodes that are folded at load."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.grid import Weights, as_stored
from edgefleet_compression.onnx_graphs.domains import opset_of
from edgefleet_compression.onnx_graphs.weighted_nodes import WeightedNode

NIBBLE_LEVELS = 7
NIBBLE_OPSET = 21
"""The first that knows INT4."""
WIDTHS: dict[int, int] = {TensorProto.INT4: 4, TensorProto.INT2: 2}


def stored(layer: WeightedNode, integers: NDArray[np.int8], scales: Weights, *, nibbles: bool) -> list[onnx.NodeProto]:
    """Replace a weight by integers and scales; returns the nodes that unfold them under its name.

    `Cast` and `Mul` are folded by onnxruntime without any option. Up to 4 bits are packed two to a byte (INT4); more
    take a byte each, whose idle levels zstd takes out again.

    Args:
        layer: the weight; the graph that stores it is changed in place.
        integers: int8 [outputs, ...].
        scales: float32 [outputs].
        nibbles: whether the file's opset knows INT4.
    """
    graph, weight = layer.home, layer.weight
    shape = [size if axis in layer.axes else 1 for axis, size in enumerate(weight.dims)]
    fits = nibbles and np.abs(integers).max(initial=0) <= NIBBLE_LEVELS
    packed = TensorProto.INT4 if fits else TensorProto.INT8
    whole, scale, cast = f"{weight.name}_q", f"{weight.name}_s", f"{weight.name}_c"
    ordered = as_stored(integers, layer.axes, weight.dims)
    graph.initializer.remove(weight)
    graph.initializer.append(integer_tensor(whole, ordered, packed))
    graph.initializer.append(numpy_helper.from_array(scales.reshape(shape), scale))
    return [
        helper.make_node("Cast", [whole], [cast], to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, scale], [weight.name]),
    ]


def knows_nibbles(model: onnx.ModelProto) -> bool:
    """Whether the model's opset has INT4, which is then what its small integers are packed in."""
    return opset_of(model) >= NIBBLE_OPSET


def integer_tensor(name: str, values: NDArray[np.int8], packed: int) -> TensorProto:
    """Integers as a tensor of type INT8, or of INT4 or INT2 with the lowest bits of a byte first."""
    if packed == TensorProto.INT8:
        return numpy_helper.from_array(values, name)
    bits = WIDTHS[packed]
    per_byte = 8 // bits
    flat = (values.reshape(-1) & (2**bits - 1)).astype(np.uint8)
    rows = np.pad(flat, (0, -len(flat) % per_byte)).reshape(-1, per_byte)
    shifted = rows << np.arange(0, 8, bits, dtype=np.uint8)
    raw = np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8).tobytes()
    return helper.make_tensor(name, packed, values.shape, raw, raw=True)
