"""The nodes that pick a detector's boxes, as `edgefleet_tasks.boxes` reads them, and place them in the frame.

A box is of its best class. Boxes are compared with those of their own class alone, in the network's picture.
"""

from onnx import TensorProto

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.answer_nodes import as_float, check_softmax, write_sigmoid
from edgefleet_compression.onnx_graphs.node_writer import NodeWriter
from edgefleet_compression.onnx_graphs.picture_nodes import Placement
from edgefleet_compression.onnx_graphs.sent import NO_CLASS, GivenAnswers, PickedBoxes
from edgefleet_protocol.signature import Axis, Signature, Tensor
from edgefleet_protocol.spec import CENTRE, CORNER_SIZE, CORNERS_Y_FIRST, BoxReading, OutputColumns

BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64
CANDIDATES = 1000
"""So many of the surest are looked at for overlaps, as where answers are compared."""
NOT_THERE = -1.0
"""The score of a box that is not picked, below every share."""


class BoxNodes:
    """Writes the nodes for one reading.

    Args:
        w: where to write.
        signature: of the network.
        names: of what holds each of its outputs.
        sigmoid: the outputs whose scores are logits still.
    """

    def __init__(self, w: NodeWriter, signature: Signature, names: tuple[str, ...], sigmoid: frozenset[str]) -> None:
        self._w = w
        self._signature = signature
        self._names = names
        self._sigmoid = sigmoid

    def write(self, picked: PickedBoxes, placement: Placement | None) -> str:
        """All of it; the name of what is given, [batch, most, 6]."""
        w, reading = self._w, picked.reading
        best, classes = self._scores(reading)
        guard = w.node("Mul", w.node("ReduceSum", best, w.whole(1), keepdims=1), w.real(0.0))
        count = w.node("Slice", w.node("Shape", best), w.whole(1), w.whole(2))
        kept = w.node("Min", count, w.whole(max(CANDIDATES, picked.most)))
        scores, places = w.several("TopK", 2, best, kept, axis=1)
        corners = self._corners(reading, _rows(w, self._columns(reading.boxes, reading), places))
        classes = w.node("GatherElements", classes, places, axis=1)
        scores = self._masked(w.node("GreaterOrEqual", scores, w.real(picked.score)), scores)
        if picked.overlap < 1:
            scores = self._apart(scores, classes, corners, picked)
        return self._told(picked, scores, classes, corners, placement, guard)

    def _scores(self, reading: BoxReading) -> tuple[str, str]:
        """The best score of each box, and its class, both float32 [batch, boxes]."""
        w, columns = self._w, self._columns(reading.scores, reading)
        if reading.classes is None and reading.first_class:  # what is before the first class is none
            columns = w.node("Slice", columns, w.whole(reading.first_class), w.whole(2**31), w.whole(2))
        best = self._share(w.node("ReduceMax", columns, w.whole(2), keepdims=0), reading.scores)
        # The largest of several passes over what is no number; their sum does not.
        none = w.node("IsNaN", w.node("ReduceSum", columns, w.whole(2), keepdims=0))
        best = w.node("Where", none, w.real(float("nan")), best)
        if reading.objectness is not None:
            sure = w.node("Squeeze", self._columns(reading.objectness, reading, one=True), w.whole(2))
            best = w.node("Mul", best, self._share(sure, reading.objectness))
        if reading.classes is None:
            classes = as_float(w, w.node("ArgMax", columns, axis=2, keepdims=0), "INT64")
        else:
            read = self._columns(reading.classes, reading, one=True)
            classes = w.node("Sub", w.node("Round", w.node("Squeeze", read, w.whole(2))), w.real(reading.first_class))
            best = self._masked(w.node("GreaterOrEqual", classes, w.real(0.0)), best)
        return (best if reading.counts < 0 else self._meant(best, reading.counts)), classes

    def _share(self, scores: str, place: OutputColumns) -> str:
        name = self._signature.outputs[place.output].name
        return write_sigmoid(self._w, scores, "FP32") if name in self._sigmoid else scores

    def _meant(self, best: str, output: int) -> str:
        """Without the boxes past the number that an output says there are."""
        w = self._w
        count = w.node("Reshape", w.node("Cast", self._names[output], to=INT64), w.whole(-1, 1))
        end = w.node("Squeeze", w.node("Slice", w.node("Shape", best), w.whole(1), w.whole(2)), w.whole(0))
        zero, one = (w.node("Squeeze", w.whole(n), w.whole(0)) for n in (0, 1))
        return self._masked(w.node("Less", w.node("Range", zero, end, one), count), best)

    def _masked(self, there: str, scores: str) -> str:
        return self._w.node("Where", there, scores, self._w.real(NOT_THERE))

    def _columns(self, place: OutputColumns, reading: BoxReading, one: bool = False) -> str:
        """Some columns of an output as float32 [batch, boxes, columns]."""
        w, tensor = self._w, self._signature.outputs[place.output]
        value, rest = _batch_first(w, self._names[place.output], tensor)
        while len(rest) > 2 and rest[0] == 1:
            value, rest = w.node("Squeeze", value, w.whole(1)), rest[1:]
        width: Axis
        if len(rest) == 1:
            value, width = w.node("Unsqueeze", value, w.whole(2)), 1
        elif reading.boxes_last:
            value = w.node("Reshape", value, w.whole(0, 0, -1)) if len(rest) > 2 else value
            value, width = w.node("Transpose", value, perm=[0, 2, 1]), rest[0]
        else:
            value, width = _rows_of_last(w, value, len(rest)), rest[-1]
        count = 1 if one else place.count
        end = place.first + count if count else 0
        if isinstance(width, int) and (end > width or place.first >= width):
            raise GraphError(f"'{tensor.name[:60]}' is {tensor.shown}: there is no column {max(end - 1, place.first)}")
        if place.first or end:
            value = w.node("Slice", value, w.whole(place.first), w.whole(end or 2**31), w.whole(2))
        return as_float(w, value, tensor.datatype)

    def _corners(self, reading: BoxReading, boxes: str) -> str:
        """As x1, y1, x2, y2 in pixels of the network's picture."""
        w = self._w
        a, b, c, d = w.several("Split", 4, boxes, axis=2, num_outputs=4)
        if reading.form == CENTRE:
            half = w.real(0.5)
            wide, high = w.node("Mul", c, half), w.node("Mul", d, half)
            corners = [w.node("Sub", a, wide), w.node("Sub", b, high), w.node("Add", a, wide), w.node("Add", b, high)]
        elif reading.form == CORNER_SIZE:
            corners = [a, b, w.node("Add", a, c), w.node("Add", b, d)]
        else:
            corners = [b, a, d, c] if reading.form == CORNERS_Y_FIRST else [a, b, c, d]
        placed = w.node("Concat", *corners, axis=2)
        scales = (reading.scale_x, reading.scale_y) * 2
        return placed if set(scales) == {1.0} else w.node("Mul", placed, w.real(scales, 4))

    def _apart(self, scores: str, classes: str, corners: str, picked: PickedBoxes) -> str:
        """Of boxes of one class that overlap, only the surest keeps its score (non-maximum suppression)."""
        w = self._w
        found = w.several("Unique", 3, w.node("Reshape", classes, w.whole(-1)), sorted=1)
        # Classes by their place among those that there are: however large their numbers, a thousand at most.
        place = w.node("Reshape", found[2], w.node("Shape", classes))
        kinds = w.node("Shape", found[0])
        alike = w.node("Cast", w.node("OneHot", place, kinds, w.real((0, 1), 2), axis=1), to=BOOL)
        by_class = self._masked(alike, w.node("Unsqueeze", scores, w.whole(1)))
        limits = w.whole(max(CANDIDATES, picked.most)), w.real(picked.overlap, 1), w.real(NOT_THERE / 2, 1)
        kept = w.node("NonMaxSuppression", corners, by_class, *limits)
        rows = w.node("Gather", kept, w.whole(0, 2), axis=1)
        ones = w.node("Expand", w.real(1.0), w.node("Slice", w.node("Shape", kept), w.whole(0), w.whole(1)))
        none = w.node("Expand", w.real(0.0), w.node("Shape", scores))
        return self._masked(w.node("Cast", w.node("ScatterND", none, rows, ones), to=BOOL), scores)

    def _told(
        self,
        picked: PickedBoxes,
        scores: str,
        classes: str,
        corners: str,
        placement: Placement | None,
        guard: str,
    ) -> str:
        """So many rows for each sample, the surest first."""
        w = self._w
        count = w.node("Slice", w.node("Shape", scores), w.whole(1), w.whole(2))
        more = w.node("Max", w.node("Sub", w.whole(picked.most), count), w.whole(0))
        pads = w.node("Concat", w.whole(0), more, axis=0)
        scores = w.node("Pad", scores, pads, w.real(NOT_THERE), w.whole(1))
        classes, corners = (w.node("Pad", one, pads, w.real(0.0), w.whole(1)) for one in (classes, corners))
        scores, places = w.several("TopK", 2, scores, w.whole(picked.most), axis=1)
        there = w.node("GreaterOrEqual", scores, w.real(0.0))
        corners = _in_frame(w, _rows(w, corners, places), placement)
        corners = w.node("Where", w.node("Unsqueeze", there, w.whole(2)), corners, w.real(0.0))
        classes = w.node("Where", there, w.node("GatherElements", classes, places, axis=1), w.real(NO_CLASS))
        scores = w.node("Where", there, scores, w.real(0.0))
        # A score that is no number would leave no trace: the sum of all times 0 is 0, or is none either.
        scores = w.node("Add", scores, guard)
        two = w.whole(2)
        return w.node("Concat", w.node("Unsqueeze", classes, two), w.node("Unsqueeze", scores, two), corners, axis=2)


def check_boxes(reading: BoxReading, signature: Signature, given: GivenAnswers) -> None:
    """Check that outputs can be read as boxes.

    Raises:
        GraphError: one has no axis of boxes, or texts; or a softmax or sigmoid is of other columns than scores.
    """
    read = [one for one in (reading.boxes, reading.scores, reading.classes, reading.objectness) if one]
    for place in read:
        tensor = signature.outputs[place.output]
        if tensor.datatype == "BYTES" or not tensor.sample_shape:
            raise GraphError(f"'{tensor.name[:60]}' is {tensor.shown} of {tensor.datatype}: boxes are [boxes, numbers]")
    boxes, scores = signature.outputs[reading.boxes.output], signature.outputs[reading.scores.output]
    if boxes.name in given.softmax:
        raise GraphError(f"softmax of '{boxes.name[:60]}' would change its boxes: leave it out, or use sigmoid")
    if scores.name in given.softmax:
        check_softmax(scores)
    sure = {place.output for place in (reading.scores, reading.objectness) if place}
    others = {place.output for place in (reading.boxes, reading.classes) if place} - sure
    if wrong := [signature.outputs[n].name for n in sorted(others) if signature.outputs[n].name in given.sigmoid]:
        raise GraphError(f"sigmoid of '{wrong[0][:60]}' would change boxes or classes: name outputs that hold scores")


def _batch_first(w: NodeWriter, value: str, tensor: Tensor) -> tuple[str, tuple[Axis, ...]]:
    """An output with the batch first, and the shape of a sample."""
    if not tensor.batched:
        return w.node("Unsqueeze", value, w.whole(0)), tensor.sample_shape
    if tensor.batch_axis:
        others = [axis for axis in range(len(tensor.shape)) if axis != tensor.batch_axis]
        value = w.node("Transpose", value, perm=[tensor.batch_axis, *others])
    return value, tensor.sample_shape


def _rows_of_last(w: NodeWriter, value: str, rank: int) -> str:
    """All axes between the batch and the last as one."""
    if rank == 2:
        return value
    last = w.node("Slice", w.node("Shape", value), w.whole(-1), w.whole(2**31))
    return w.node("Reshape", value, w.node("Concat", w.whole(0, -1), last, axis=0))


def _rows(w: NodeWriter, values: str, places: str) -> str:
    """Rows [batch, kept, columns] of [batch, boxes, columns] by their places [batch, kept]."""
    return w.node("GatherND", values, w.node("Unsqueeze", places, w.whole(2)), batch_dims=1)


def _in_frame(w: NodeWriter, corners: str, placement: Placement | None) -> str:
    """Corners in pixels of what the application sent, and within it."""
    if placement is None:
        return corners
    frame, size, offset = (w.node("Concat", one, one, axis=0) for one in _of(placement))
    placed = w.node("Div", w.node("Mul", w.node("Sub", corners, offset), frame), size)
    return w.node("Min", w.node("Max", placed, w.real(0.0)), frame)


def _of(placement: Placement) -> tuple[str, str, str]:
    return placement.frame, placement.size, placement.offset
