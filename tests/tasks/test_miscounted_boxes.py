"""A detector's card that reads columns as what they cannot be is refused, as far as that is known."""

import pytest

from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import ReadsDeclared

BOXES, NAMES = OutputColumns(0, 0, 4), ("cat", "dog")
RAW = Signature((), (Tensor("raw", "FP32", ("n", 6, 60)),))


@pytest.mark.parametrize(
    ("reading", "names", "columns"),
    [
        (BoxReading(BOXES, OutputColumns(0, 4), boxes_last=True), NAMES, None),
        (BoxReading(BOXES, OutputColumns(0, 4)), NAMES, 56),
        (BoxReading(BOXES, OutputColumns(0, 5), boxes_last=True), NAMES, 1),
        (BoxReading(BOXES, OutputColumns(0, 4), boxes_last=True), (*NAMES, "cow"), 2),
        (BoxReading(BOXES, OutputColumns(0, 4)), (), None),
        (BoxReading(BOXES, OutputColumns(0, 4, 1), OutputColumns(0, 5, 1)), NAMES, None),
    ],
)
def test_scores_are_as_many_as_labels(reading: BoxReading, names: tuple[str, ...], columns: int | None) -> None:
    refusal = task_named("detection").fits(RAW, Spec(names=names, boxes=reading))
    assert refusal is None if columns is None else refusal and f"{columns} columns hold scores" in refusal.sentence


TWO = Signature((), (Tensor("raw", "FP32", ("n", 60, 6)), Tensor("count", "INT64", ("n",))))
SCORE, CLASS = OutputColumns(0, 4, 1), OutputColumns(0, 5, 1)


@pytest.mark.parametrize(
    ("reading", "says"),
    [
        (BoxReading(BOXES, SCORE, CLASS, counts=1), None),
        (BoxReading(OutputColumns(0), OutputColumns(0, 4)), None),
        (BoxReading(BOXES, OutputColumns(0, 3, 2)), "boxes.scores: column 3 of 'raw' is read as boxes, too"),
        (BoxReading(BOXES, OutputColumns(0, 4), CLASS), "boxes.classes: column 5 of 'raw' is read as scores, too"),
        (BoxReading(BOXES, SCORE, CLASS, SCORE), "boxes.objectness: column 4 of 'raw' is read as scores, too"),
        (
            BoxReading(BOXES, SCORE, CLASS, counts=0),
            "boxes.counts: 'raw' holds boxes: name the output that says how many",
        ),
        (BoxReading(BOXES, OutputColumns(0, 4, 2), first_class=1), None),
        (BoxReading(BOXES, OutputColumns(0, 4, 2), first_class=2), "boxes.first_class: of 2 columns of scores none"),
        (BoxReading(BOXES, SCORE, CLASS, first_class=7), None),
    ],
)
def test_no_column_is_read_as_two_things(reading: BoxReading, says: str | None) -> None:
    declared = Spec(boxes=reading)
    task = task_named("detection")
    assert isinstance(task, ReadsDeclared)
    refusal = task.misdeclared(TWO, declared, declared)
    assert refusal is None if says is None else refusal and refusal.sentence.startswith(says)
