"""Whatever a model answers or an application says, a task takes it or refuses it in one line."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from tests.tasks.worlds import WORLDS

from edgefleet_tasks.registry import own_names, task_named

SPECS = {world.task: world.spec for world in (make() for make in WORLDS)}
DTYPES = st.sampled_from(["f2", "f4", "f8", "u1", "i4", "i8", "?", "U3"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: of_numpy.arrays(dtype, of_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | of_numpy.arrays("f4", (2, 3)),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def in_one_line(error: ValueError) -> bool:
    return "\n" not in str(error) and 0 < len(str(error)) < 500


@pytest.mark.parametrize("name", own_names())
@settings(max_examples=60, deadline=None)
@given(outputs=st.lists(ARRAYS, max_size=4))
def test_any_outputs_are_reduced_or_refused(name: str, outputs: list[Any]) -> None:
    task, spec = task_named(name), SPECS[name]
    try:
        answers = task.reduce(outputs, spec)
    except ValueError as error:
        assert in_one_line(error)
        return
    for answer in answers:
        assert len(answer) <= 4096
        assert 0 <= task.agree(answer, answer, spec) <= 1
        task.category(answer, spec), task.stratum(answer, spec)


@pytest.mark.parametrize("name", own_names())
@settings(max_examples=100, deadline=None)
@given(raw=JSON)
def test_any_label_is_taken_or_refused(name: str, raw: Any) -> None:
    try:
        task_named(name).label(raw, SPECS[name])
    except ValueError as error:
        assert in_one_line(error)
