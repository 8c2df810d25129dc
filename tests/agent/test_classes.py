"""An output as its best classes: by row, in Triton's form, for every datatype and shape."""

import struct
from typing import Any

import numpy as np
import pytest

from edgefleet_agent.classes import best_classes
from edgefleet_protocol.datatypes import pack_texts

LABELS = ("cat", "dog", "bird")


def best(values: Any, count: int, labels: tuple[str, ...] = ()) -> tuple[list[int], list[str]]:
    names = {"f4": "FP32", "f8": "FP64", "f2": "FP16", "u1": "UINT8", "i1": "INT8", "i4": "INT32", "i8": "INT64"}
    output = {"datatype": names.get(values.dtype.str[1:], "BOOL"), "shape": list(values.shape)}
    return best_classes(output, values.tobytes(), count, labels)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2"])
def test_floats_are_told_with_six_decimals(dtype: str) -> None:
    shape, told = best(np.array([[0.25, -1.5, 2.0], [3.0, 3.0, 1.0]], dtype), 2, LABELS)
    assert shape == [2, 2]
    assert told == ["2.000000:2:bird", "0.250000:0:cat", "3.000000:0:cat", "3.000000:1:dog"]


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", "<i8", "?"])
def test_integers_are_told_as_such(dtype: str) -> None:
    assert best(np.array([[0, 1]], dtype), 1) == ([1, 1], ["1:1"])


def test_one_dimension_is_one_row_and_further_dimensions_count_as_classes() -> None:
    assert best(np.array([1.0, 2.0], "<f4"), 5) == ([2], ["2.000000:1", "1.000000:0"])
    assert best(np.arange(8, dtype="<f4").reshape(2, 2, 2), 1) == ([2, 1], ["3.000000:3", "7.000000:3"])
    assert best(np.zeros((0, 3), "<f4"), 2) == ([0, 0], [])


def test_a_class_beyond_the_labels_has_none() -> None:
    assert best(np.array([[1.0, 5.0]], "<f4"), 2, ("cat",))[1] == ["5.000000:1", "1.000000:0:cat"]


def test_raw_texts_come_after_their_lengths() -> None:
    assert pack_texts([b"a", "vögel".encode()]) == struct.pack("<I1sI6s", 1, b"a", 6, "vögel".encode())
