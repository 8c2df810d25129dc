"""What the onnxruntime of this process reads: which opsets, and whose operators."""

import functools
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgefleet_compression.onnx_graphs.domains import opset_of
from edgefleet_compression.onnx_graphs.options import one_thread
from edgefleet_compression.onnx_graphs.skim import skim
from edgefleet_protocol.runtime_versions import least_onnxruntime

OWN_LAYOUTS = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Domains that onnxruntime writes for the processor that it runs on, when it saves what it has optimized."""


@functools.cache
def newest_opset() -> int:
    """The newest opset of standard operators that a session takes, of those that `onnx` can write."""
    return next(opset for opset in range(onnx.defs.onnx_opset_version(), 0, -1) if _loads(opset))


def is_built_in(node: onnx.NodeProto) -> bool:
    """Whether onnxruntime itself has the operator of a node."""
    return (node.domain, node.op_type) in _operators()


def needed_onnxruntime(path: Path) -> str:
    """The oldest onnxruntime that reads a file, which the one here does."""
    model = skim(path)
    return least_onnxruntime(opset_of(model), model.ir_version, onnxruntime.__version__)


@functools.cache
def _operators() -> frozenset[tuple[str, str]]:
    # The only list that a wheel has; it is under a name of onnxruntime's own since 2018.
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    return frozenset((schema.domain, schema.name) for schema in get_all_operator_schema())


def _loads(opset: int) -> bool:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), one_thread(), providers=["CPUExecutionProvider"])
    except Exception:  # a binding's own types
        return False
    return True
