"""A detector whose card reads another number of scores than there are labels is refused, as far as that is known."""

import pytest

from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named

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
