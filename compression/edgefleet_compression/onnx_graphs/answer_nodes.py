"""The nodes that make of what a network gives what applications are given: probabilities, and the surest classes."""

from onnx import TensorProto, helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.node_writer import NodeWriter
from edgefleet_compression.onnx_graphs.sent import SurestClasses
from edgefleet_protocol.signature import Tensor

TOP_CLASSES, TOP_SCORES, TOP_NAMES = "top_classes", "top_scores", "top_names"


def check_softmax(tensor: Tensor) -> None:
    """Check that a softmax over the last axis of an output says something.

    Raises:
        GraphError: the axis holds one number.
    """
    if not tensor.sample_shape or tensor.sample_shape[-1] == 1:
        raise GraphError(
            f"'{tensor.name[:60]}' is {tensor.shown}: softmax is over the last axis, and of one number always 1"
        )


def write_softmax(w: NodeWriter, value: str, tensor: Tensor, gives: str = "") -> str:
    """Probabilities over the last axis, in float32 also where the network gives half of that."""
    check_softmax(tensor)
    return w.node("Softmax", as_float(w, value, tensor.datatype), axis=len(tensor.shape) - 1, gives=gives)


def write_sigmoid(w: NodeWriter, value: str, datatype: str, gives: str = "") -> str:
    """A probability for each number."""
    return w.node("Sigmoid", as_float(w, value, datatype), gives=gives)


def as_float(w: NodeWriter, value: str, datatype: str) -> str:
    """As float32."""
    return value if datatype == "FP32" else w.node("Cast", value, to=TensorProto.FLOAT)


def check_top(top: SurestClasses, tensor: Tensor) -> None:
    """Check that an output has as many classes as are asked for, and a name for each if there are names.

    Raises:
        GraphError: it has not.
    """
    shown = f"'{tensor.name[:60]}' is {tensor.shown}"
    if len(tensor.sample_shape) != 1 or tensor.datatype == "BYTES":
        raise GraphError(f"{shown}: top_k is of an output [samples, classes]")
    [classes] = tensor.sample_shape
    if isinstance(classes, int) and top.count > classes:
        raise GraphError(f"{shown}: top_k is {top.count}, give {classes} or less")
    if isinstance(classes, int) and top.names and len(top.names) != classes:
        raise GraphError(f"{shown}, and there are {len(top.names)} labels: name them all")


def write_top(w: NodeWriter, value: str, top: SurestClasses) -> None:
    """The surest classes of an output [samples, classes], as outputs of their own."""
    w.nodes.append(helper.make_node("TopK", [value, w.whole(top.count)], [TOP_SCORES, TOP_CLASSES], axis=1))
    if top.names:
        w.node("Gather", w.texts(top.names), TOP_CLASSES, axis=0, gives=TOP_NAMES)


def top_outputs(top: SurestClasses, tensor: Tensor) -> tuple[Tensor, ...]:
    """What `write_top` gives, as tensors of a signature."""
    shape = (tensor.shape[tensor.batch_axis] if tensor.batched else 1, top.count)
    kinds = {TOP_CLASSES: "INT64", TOP_SCORES: "FP32"} | ({TOP_NAMES: "BYTES"} if top.names else {})
    return tuple(Tensor(name, kind, shape, batched=True) for name, kind in kinds.items())
