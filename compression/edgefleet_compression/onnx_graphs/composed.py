"""What a composed graph takes and gives, and whether a network can be composed so. Pure."""

from dataclasses import replace

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.answer_nodes import check_softmax, check_top, top_outputs
from edgefleet_compression.onnx_graphs.box_nodes import check_boxes
from edgefleet_compression.onnx_graphs.sent import BOX_COLUMNS, GivenAnswers, SentInput
from edgefleet_protocol.signature import FLOATS, Axis, Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns

DETECTIONS = "detections"
FRAME_HEIGHT, FRAME_WIDTH = "frame_height", "frame_width"
AS_IT_IS = GivenAnswers()
PICKED = BoxReading(boxes=OutputColumns(0, 2, 4), scores=OutputColumns(0, 1, 1), classes=OutputColumns(0, 0, 1))
"""How boxes are read that a composed graph picked: it gives them first."""


def composed_signature(signature: Signature, sent: SentInput | None, given: GivenAnswers = AS_IT_IS) -> Signature:
    """What a composed graph takes and gives: what is picked or added comes first or last, the rest stays.

    Raises:
        GraphError: this cannot be composed.
    """
    check(signature, sent, given)
    inputs = tuple(
        sent_tensor(tensor, sent) if sent is not None and tensor.name == sent.input else tensor
        for tensor in signature.inputs
    )
    names = (*given.softmax, *given.sigmoid)
    outputs = tuple(replace(one, datatype="FP32") if one.name in names else one for one in signature.outputs)
    if given.boxes is not None:
        gone, batch = read_by(given.boxes.reading), _batch_of(signature)
        rows = Tensor(DETECTIONS, "FP32", (batch, given.boxes.most, BOX_COLUMNS), batched=True)
        outputs = (rows, *(one for place, one in enumerate(outputs) if place not in gone))
    if given.top is not None:
        outputs += top_outputs(given.top, signature.outputs[signature.output_named(given.top.output)])
    names_of_ours = {one.name for one in outputs} - {one.name for one in signature.outputs}
    if taken := names_of_ours & {one.name for one in inputs}:
        raise GraphError(f"'{min(taken)}' is an input, and would be an output, too: rename it")
    try:
        return Signature(inputs, outputs)
    except ValueError as error:  # the network keeps an output that has the name of one of ours
        raise GraphError(f"{error}: rename the network's output") from None


def check(signature: Signature, sent: SentInput | None, given: GivenAnswers = AS_IT_IS) -> None:
    """Check that a network has what is to be composed with it.

    Raises:
        GraphError: one line that says what it has instead.
    """
    if sent is not None:
        _check_sent(input_of(signature, sent), sent)
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    top = () if given.top is None else (given.top.output,)
    for name in (*given.softmax, *given.sigmoid, *top):
        if name not in outputs:
            raise GraphError(f"there is no output '{name[:60]}': the model has {', '.join(outputs)[:400]}")
        if outputs[name].datatype not in FLOATS:
            raise GraphError(f"'{name[:60]}' is {outputs[name].datatype}: probabilities are made of floats")
    if given.boxes is not None:
        check_boxes(given.boxes.reading, signature, given)
    for name in given.softmax:
        check_softmax(outputs[name])
    if given.top is not None:
        check_top(given.top, outputs[given.top.output])


def _check_sent(tensor: Tensor, sent: SentInput) -> None:
    shown = f"'{tensor.name[:60]}' is {tensor.datatype} {tensor.shown}"
    if tensor.datatype == "BYTES":
        raise GraphError(f"{shown}: texts have no preprocessing")
    if tensor.datatype not in FLOATS and (sent.scale != 1 or sent.mean or sent.std):
        raise GraphError(f"{shown}: whole numbers have no scale, mean or std")
    if (picture := sent.picture) is None:
        return
    if len(tensor.sample_shape) != 3 or not tensor.batched or tensor.batch_axis:
        raise GraphError(f"{shown}: a picture is [batch, channels, height, width] or [batch, height, width, channels]")
    channels, height, width = _picture_axes(tensor, picture.channels_first)
    made = 1 if picture.colour == "grey" else picture.channels
    if isinstance(channels, int) and channels != made:
        other = "nhwc" if picture.channels_first else "nchw"
        raise GraphError(f"{shown}: it takes {channels} channels, and gets {made}: set colour, or layout to {other}")
    if len(sent.mean) not in (0, 1, made) or len(sent.std) not in (0, 1, made):
        raise GraphError(f"mean and std have one number, or {made}, one for each channel")
    if picture.resize and any(
        isinstance(a, int) and a != b for a, b in zip((height, width), picture.resize, strict=True)
    ):
        raise GraphError(f"{shown}: resize is {list(picture.resize)}, and it takes [{height}, {width}]")


def input_of(signature: Signature, sent: SentInput) -> Tensor:
    found = [tensor for tensor in signature.inputs if tensor.name == sent.input]
    if not found:
        told = ", ".join(tensor.name for tensor in signature.inputs)[:400]
        raise GraphError(f"there is no input '{sent.input[:60]}': the model takes {told}")
    return found[0]


def _picture_axes(tensor: Tensor, channels_first: bool) -> tuple[Axis, Axis, Axis]:
    one, two, three = tensor.sample_shape
    return (one, two, three) if channels_first else (three, one, two)


def sent_tensor(tensor: Tensor, sent: SentInput) -> Tensor:
    """An input as applications send it."""
    if (picture := sent.picture) is None:
        return replace(tensor, datatype=sent.datatype)
    _, height, width = _picture_axes(tensor, picture.channels_first)
    if picture.resize is not None:
        height, width = FRAME_HEIGHT, FRAME_WIDTH
    return replace(tensor, datatype=sent.datatype, shape=(tensor.shape[0], height, width, picture.channels))


def _batch_of(signature: Signature) -> Axis:
    return next((tensor.shape[tensor.batch_axis] for tensor in signature.inputs if tensor.batched), 1)


def read_by(reading: BoxReading) -> set[int]:
    """The places of the outputs that boxes are read from."""
    read = [one for one in (reading.boxes, reading.scores, reading.classes, reading.objectness) if one]
    return {place.output for place in read} | ({reading.counts} - {-1})
