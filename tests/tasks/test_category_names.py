"""Every category of every task has a name, and those of different categories differ."""

import numpy as np
import pytest

from edgefleet_protocol.spec import CATEGORIES, Spec
from edgefleet_tasks.counting import OTHERS
from edgefleet_tasks.registry import own_names, task_named

MANY = tuple(range(600, 600 + OTHERS))


@pytest.mark.parametrize("task", own_names())
@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        Spec(names=("cat", "dog", "bird")),
        Spec(names=tuple(f"class {n}" for n in range(1000)), commonest=MANY),
        Spec(thresholds=tuple(np.linspace(-1, 1, 15).tolist())),
    ],
    ids=["unknown", "named", "many", "edges"],
)
def test_every_category_has_a_short_name(task: str, spec: Spec) -> None:
    names = [task_named(task).category_name(category, spec) for category in range(CATEGORIES)]
    assert all(1 <= len(name) <= 200 for name in names)


@pytest.mark.parametrize(
    ("task", "spec", "category", "name"),
    [
        ("classification", Spec(names=("cat", "dog")), 1, "dog"),
        ("classification", Spec(width=2), 1, "1"),
        ("classification", Spec(commonest=(7, 900)), 1, "900"),
        ("classification", Spec(names=tuple("n" + str(n) for n in range(1000)), commonest=(7, 900)), 1, "n900"),
        ("classification", Spec(commonest=(7, 900)), OTHERS, "(others)"),
        ("multilabel", Spec(names=("cat", "dog"), commonest=(1, 0)), 0, "none"),
        ("multilabel", Spec(names=("cat", "dog"), commonest=(1, 0)), 1, "dog"),
        ("detection", Spec(), 1, "1 box"),
        ("detection", Spec(), 3, "3 boxes"),
        ("detection", Spec(), OTHERS, "255 boxes or more"),
        ("regression", Spec(thresholds=(0.5, 1.0)), 0, "below 0.5"),
        ("regression", Spec(thresholds=(0.5, 1.0)), 1, "0.5 to 1"),
        ("regression", Spec(thresholds=(0.5, 1.0)), 2, "1 or more"),
        ("embedding", Spec(), 4, "axis 4"),
    ],
)
def test_a_category_is_called_what_people_call_it(task: str, spec: Spec, category: int, name: str) -> None:
    assert task_named(task).category_name(category, spec) == name
