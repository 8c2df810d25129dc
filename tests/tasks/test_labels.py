"""Labels: what each task takes, from JSON as from a data set, and one line for all else."""

import re
from typing import Any

import numpy as np
import pytest
from tests.tasks.worlds import BOXES

from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import ListedRow
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import GuessesLabels

NAMED = Spec(names=("cat", "dog", "cow"), boxes=BOXES)
ONE = Spec(width=1)
TWO = Spec(width=2)
THREE = Spec(width=3)
TEXT = Spec("text")
MAP = [[0, 1], [2, 255]]


@pytest.mark.parametrize(
    ("task", "spec", "raw", "same"),
    [
        ("classification", NAMED, 1, "dog"),
        ("classification", NAMED, np.int64(1), np.str_("dog")),
        ("classification", Spec(), 7, np.uint8(7)),
        ("multilabel", NAMED, [0, 2], [1, 0, 1]),
        ("multilabel", NAMED, ["cow", "cat"], np.array([True, False, True])),
        ("multilabel", NAMED, [], [0, 0, 0]),
        ("multilabel", ONE, 1, [True]),
        ("multilabel", ONE, np.int64(0), []),
        ("multilabel", TWO, [False, True], [1]),
        ("multilabel", TWO, np.array([0, 1]), [1]),
        ("multilabel", TWO, ["0", "1"], [1, 1]),
        ("multilabel", TWO, np.array([1, 0]).view(ListedRow), [True, True]),
        ("multilabel", TWO, [0, 0], []),
        ("multilabel", ONE, np.array([0]).view(ListedRow), ["0"]),
        ("multilabel", ONE, np.array([0]), [False]),
        ("regression", ONE, 2.5, [2.5]),
        ("regression", THREE, [1, 2, 3], np.array([[1.0, 2, 3]])),
        ("embedding", Spec(width=128), 400, np.int32(400)),
        ("detection", NAMED, [["dog", 1, 2, 3, 4]], np.array([[1.0, 1, 2, 3, 4]])),
        ("detection", NAMED, [], np.empty((0, 5))),
        ("segmentation", NAMED, MAP, np.array(MAP, np.uint8)),
        ("segmentation", NAMED, MAP, np.array(MAP)[None]),
        ("sequence", THREE, [0, 2, 1], np.array([0, 2, 1])),
        ("sequence", THREE, [], np.empty(0, np.int64)),
        ("sequence", TEXT, "yes", b"yes"),
    ],
)
def test_a_label_means_the_same_in_each_of_its_forms(task: str, spec: Spec, raw: Any, same: Any) -> None:
    one, other = task_named(task).label(raw, spec), task_named(task).label(same, spec)
    if task == "detection":
        one, other = (np.column_stack([b.classes, b.corners]) for b in (one, other))  # type: ignore[attr-defined]
    assert np.array_equal(np.asarray(one, object), np.asarray(other, object))


@pytest.mark.parametrize(
    ("task", "spec", "raw", "told"),
    [
        ("classification", NAMED, 3, "from 0 to 2, or one of cat, dog, cow; not 3"),
        ("classification", NAMED, -1, "from 0 to 2"),
        ("classification", NAMED, "horse", "not 'horse'"),
        ("classification", NAMED, True, "not True"),
        ("classification", NAMED, 1.5, "not 1.5"),
        ("classification", Spec(), None, "a whole number from 0 on; not None"),
        ("classification", Spec(), [1], r"not \[1\]"),
        ("classification", Spec(), 2**40, "from 0 on"),
        ("multilabel", TWO, [0, 1], r"write \[false, true\] for the former, \[\"0\", \"1\"\] for the latter"),
        ("multilabel", Spec(names=("a", "b")), [1, 0], r"write \[true, false\] .* \[\"b\", \"a\"\] for the latter"),
        ("multilabel", ONE, [0], r"write \[false\] for the former, \[\"0\"\] for the latter"),
        ("multilabel", NAMED, [3], "from 0 to 2"),
        ("multilabel", NAMED, "cat", "a list of classes"),
        ("multilabel", NAMED, None, "a list of classes"),
        ("multilabel", NAMED, [[0, 1]], "a list of classes"),
        ("multilabel", NAMED, [0.5, 0.5, 0.5], "not 0.5"),
        ("regression", THREE, [1, 2], "3 numbers; not 2"),
        ("regression", THREE, [[1, 2], [3]], "different lengths"),
        ("regression", ONE, float("nan"), "NaN"),
        ("regression", ONE, None, "1 numbers; not None"),
        ("regression", ONE, "2.5", "of numbers; not '2.5'"),
        ("regression", ONE, {}, "of numbers"),
        ("regression", Spec(), [], "one or more numbers; not 0"),
        ("embedding", Spec(), -1, "from 0 on"),
        ("embedding", Spec(), "who", "not 'who'"),
        ("detection", NAMED, None, r"\[class, x1, y1, x2, y2\]"),
        ("detection", NAMED, 7, r"\[class, x1, y1, x2, y2\]"),
        ("detection", NAMED, {}, r"\[class, x1, y1, x2, y2\]"),
        ("detection", NAMED, [1, 2, 3, 4, 5], r"\[class, x1, y1, x2, y2\]"),
        ("detection", NAMED, [[1, 2, 3, 4]], r"not \[1, 2, 3, 4\]"),
        ("detection", NAMED, [[1, 2, 3, 4, float("inf")]], "NaN or infinity"),
        ("detection", NAMED, [[1, 5, 2, 3, 4]], "x2 below x1"),
        ("detection", NAMED, [[9, 1, 2, 3, 4]], "from 0 to 2"),
        ("detection", NAMED, [["dog", "1", 2, 3, 4]], "of numbers"),
        ("segmentation", NAMED, [[0, 3]], "from 0 to 2, or 255 for none; not 3"),
        ("segmentation", NAMED, [[255, 255]], "no pixel with a class"),
        ("segmentation", NAMED, [0, 1], r"\[height, width\]"),
        ("segmentation", NAMED, [], r"\[height, width\]"),
        ("segmentation", NAMED, [[0, 1], [2]], "different lengths"),
        ("segmentation", NAMED, [[0.5]], "whole numbers"),
        ("sequence", THREE, [3], "from 0 to 2"),
        ("sequence", THREE, [-1], "from 0 to 2"),
        ("sequence", THREE, "abc", "a list of whole numbers"),
        ("sequence", THREE, 5, "a list of whole numbers"),
        ("sequence", THREE, [[1], [1, 2]], "different lengths"),
        ("sequence", THREE, [0.5], "whole numbers"),
        ("sequence", TEXT, [1], "a text"),
        ("outputs", Spec(), 1, "no labels"),
    ],
)
def test_what_is_no_label_is_refused_in_one_line_that_says_what_was_expected(
    task: str, spec: Spec, raw: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        task_named(task).label(raw, spec)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_a_number_of_thousands_of_digits_is_refused_in_one_line() -> None:
    for task, raw in (("classification", 10**5000), ("multilabel", [10**5000]), ("sequence", [10**5000])):
        with pytest.raises(ValueError, match="not a number that is far too large"):
            task_named(task).label(raw, NAMED)


@pytest.mark.parametrize(
    ("labels", "spec", "told"),
    [
        (
            [[0, 1], [1, 0]],
            TWO,
            r"labels such as \[0, 1\] are taken as 0 and 1 for each of 2 classes: give lists of cl",
        ),
        ([[0.0], [0.0]], ONE, r"labels such as \[0\] are taken as 0 and 1 for each of 1 class: give lists of classes"),
        ([[0, 1], [1, 1]], TWO, None),
        ([[False, True]], TWO, None),
        ([[0, 1, 0]], THREE, None),
    ],
)
def test_labels_that_may_mean_two_things_are_said_for_what_they_were_taken(
    labels: Any, spec: Spec, told: str | None
) -> None:
    found = task_named("multilabel")
    assert isinstance(found, GuessesLabels)
    said = found.guessed_of(np.array(labels), spec)
    assert said is None if told is None else re.match(told, said or "")
