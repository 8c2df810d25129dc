"""What is before a detector's first class is no box: background has a score, too."""

import numpy as np
import pytest

from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.boxes import read_boxes

CORNERS = np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]], np.float32)
SCORES = np.array([[[0.98, 0.01, 0.01], [0.1, 0.2, 0.7], [0.05, 0.9, 0.05]]], np.float32)
CLASSES = np.array([[[0], [2], [1]]], np.float32)


@pytest.mark.parametrize("as_numbers", [False, True])
def test_background_is_no_box(as_numbers: bool) -> None:
    scores = SCORES.max(2, keepdims=True) if as_numbers else SCORES
    classes = OutputColumns(2) if as_numbers else None
    spec = Spec("probabilities", boxes=BoxReading(OutputColumns(0), OutputColumns(1), classes, first_class=1))
    found = read_boxes([CORNERS, scores, CLASSES], 0, spec, 0.3, 10)
    assert (found.classes.tolist(), found.scores.round(2).tolist()) == ([0, 1], [0.9, 0.7])
