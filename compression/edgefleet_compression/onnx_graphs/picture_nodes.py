"""The nodes that make of what an application sends what a network takes, as Pillow and numpy would."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from edgefleet_compression.onnx_graphs.node_writer import NodeWriter, element_type
from edgefleet_compression.onnx_graphs.sent import SentInput, SentPicture
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Tensor

GREY = (0.299, 0.587, 0.114)
"""How much of red, green and blue is in grey (ITU-R 601), as Pillow has it."""
HEIGHT, WIDTH = 1, 2


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in what the network sees: names of float32 [2] tensors, each (x, y).

    x in the network's picture is x in the frame times `size` / `frame`, and `offset` more.
    """

    frame: str
    size: str
    offset: str


def write_input(w: NodeWriter, sent: SentInput, tensor: Tensor, target: str) -> Placement | None:
    """Write what lies between the graph's input and what the network reads.

    Args:
        w: where to write.
        sent: what is sent, and what is done to it.
        tensor: what the network takes.
        target: the name of what the network reads.

    Returns:
        Where a frame lies in what the network sees; None if it has a size of its own.
    """
    value, placement = sent.input, None
    if sent.picture is not None:
        value, placement = _placed(w, value, sent.picture, sent.datatype)
    datatype = sent.datatype
    if sent.picture is not None and sent.picture.colour == "grey" and sent.picture.channels > 1:
        value, datatype = w.node("MatMul", _cast(w, value, datatype, "FP32"), w.real(GREY, 3, 1)), "FP32"
    elif sent.picture is not None and sent.picture.colour == "bgr":
        value = w.node("Gather", value, w.whole(2, 1, 0), axis=3)
    if sent.picture is not None and sent.picture.channels_first:
        value = w.node("Transpose", value, perm=[0, 3, 1, 2])
    if sent.scale != 1 or sent.mean or sent.std:
        value, datatype = _numbers(w, _cast(w, value, datatype, "FP32"), sent), "FP32"
    w.node("Identity", _cast(w, value, datatype, tensor.datatype), gives=target)
    return placement


def _cast(w: NodeWriter, value: str, given: str, wanted: str) -> str:
    if given == wanted:
        return value
    return w.node("Cast", value, to=element_type(wanted))


def _numbers(w: NodeWriter, value: str, sent: SentInput) -> str:
    """(x * scale - mean) / std as one product and one sum."""
    std = np.array(sent.std or (1.0,), np.float64)
    factor, shift = sent.scale / std, -np.array(sent.mean or (0.0,), np.float64) / std
    last = not (sent.picture is not None and sent.picture.channels_first)
    shape = (-1,) if last else (-1, 1, 1)
    if (factor != 1).any():
        value = w.node("Mul", value, _by_channel(w, factor, shape))
    return w.node("Add", value, _by_channel(w, shift, shape)) if shift.any() else value


def _by_channel(w: NodeWriter, values: np.ndarray[tuple[int], np.dtype[np.float64]], shape: tuple[int, ...]) -> str:
    """One number for all, without an axis, or one a channel."""
    return w.constant(values.astype(np.float32).reshape(() if len(values) == 1 else shape))


def _placed(w: NodeWriter, frame: str, picture: SentPicture, datatype: str) -> tuple[str, Placement | None]:
    """The frame in the network's size, [batch, height, width, channels] still."""
    if picture.resize is None:
        return frame, None
    target = w.whole(*picture.resize)
    given = w.node("Slice", w.node("Shape", frame), w.whole(HEIGHT), w.whole(WIDTH + 1))
    size = target if picture.fit == "stretch" else _scaled_size(w, given, picture.resize, picture.fit)
    resized = w.node("Resize", frame, "", "", size, mode="linear", antialias=1, exclude_outside=1, axes=[HEIGHT, WIDTH])
    if picture.fit == "stretch":
        offset = w.whole(0, 0)
    elif picture.fit == "crop":
        start = w.node("Div", w.node("Sub", size, target), w.whole(2))
        offset = w.node("Neg", start)
        resized = w.node("Slice", resized, start, w.node("Add", start, target), w.whole(HEIGHT, WIDTH))
    else:
        missing = w.node("Sub", target, size)
        offset = w.whole(0, 0) if picture.corner else w.node("Div", missing, w.whole(2))
        after = w.node("Sub", missing, offset)
        pads, axes = w.node("Concat", offset, after, axis=0), w.whole(HEIGHT, WIDTH)
        fill = w.constant(np.array(picture.pad, BY_NAME[datatype].numpy))
        resized = w.node("Pad", resized, pads, fill, axes, mode="constant")
    return resized, Placement(*(_x_first(w, one) for one in (given, size, offset)))


def _scaled_size(w: NodeWriter, given: str, target: tuple[int, int], fit: str) -> str:
    """The size that a frame is scaled to with its shape kept, int64 [height, width], by whole numbers alone.

    Height is as many times `given` as the target's width is: halves are rounded up, and no size is 0.
    """
    other, across = w.node("Gather", given, w.whole(1, 0), axis=0), w.whole(*reversed(target))
    twice = w.node("Mul", w.node("Mul", given, across), w.whole(2))
    scaled = w.node("Div", w.node("Add", twice, other), w.node("Mul", other, w.whole(2)))
    if fit == "crop":
        return w.node("Max", w.whole(*target), scaled)
    return w.node("Min", w.whole(*target), w.node("Max", scaled, w.whole(1)))


def _x_first(w: NodeWriter, size: str) -> str:
    return w.node("Cast", w.node("Gather", size, w.whole(1, 0), axis=0), to=TensorProto.FLOAT)
