"""Samples of any signature are cut, fed and digested alike, whether dense or ragged."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.samples import ArraySplit, Column, RawLabels, Samples, Split
from edgefleet_protocol.signature import Signature, Tensor

IDS = Tensor("ids", "INT64", ("batch", "tokens"))
RATE = Tensor("rate", "INT64", ())
FRAMES = Tensor("frames", "FP32", ("time", 2), batched=False)
OUTPUT = (Tensor("answers", "FP32", ("batch", 3)),)


def asks(*inputs: Tensor) -> Signature:
    return Signature(inputs, OUTPUT)


def ragged(rows: list[list[int]]) -> Column:
    return Column(
        np.array([number for row in rows for number in row], np.int64), np.array([len(row) for row in rows], np.int64)
    )


def sized(pictures: list[NDArray[Any]]) -> Column:
    """Pictures that differ in every axis."""
    flat = np.concatenate([picture.ravel() for picture in pictures])
    return Column(flat, shapes=np.array([picture.shape for picture in pictures], np.int64))


def lists(column: Column) -> list[Any]:
    return [column.row(place).tolist() for place in range(len(column))]


ROWS = st.lists(st.lists(st.integers(-9, 9), max_size=4), min_size=1, max_size=6)
CUT = st.integers(0, 8)


@given(ROWS, CUT, CUT)
def test_rows_of_unequal_length_are_cut_as_a_list_is(rows: list[list[int]], start: int, stop: int) -> None:
    column = ragged(rows)
    assert (len(column), column.is_dense) == (len(rows), False)
    assert lists(column) == rows
    assert lists(column.rows(start, stop)) == rows[start:stop]
    assert list(map(list, RawLabels(column)[start:stop])) == rows[start:stop]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=5), CUT, CUT)
def test_pictures_of_unequal_shape_are_cut_as_a_list_is(shapes: list[tuple[int, int]], start: int, stop: int) -> None:
    pictures = [np.full(shape, place, np.uint8) for place, shape in enumerate(shapes)]
    wanted = [picture.tolist() for picture in pictures]
    assert lists(sized(pictures)) == wanted
    assert lists(sized(pictures).rows(start, stop)) == wanted[start:stop]


def test_several_inputs_are_cut_alike() -> None:
    x = Samples({"ids": ragged([[1], [2, 2], [], [4]]), "rate": Column(np.arange(4))})
    assert (len(x), x.is_dense) == (4, False)
    assert lists(x.rows(1, 3).columns["ids"]) == [[2, 2], []] and lists(x.rows(1, 3).columns["rate"]) == [1, 2]
    assert [len(x.first(count)) for count in (0, 3, 9)] == [4, 3, 4]


@pytest.mark.parametrize("columns", [{}, {"a": Column(np.zeros(3)), "b": Column(np.zeros(4))}])
def test_inputs_with_unequally_many_samples_are_no_samples(columns: dict[str, Column]) -> None:
    with pytest.raises(ValueError, match=r"as many samples, and there are (no inputs|a 3, b 4)"):
        Samples(columns)


def test_a_sample_is_fed_with_a_batch_axis_where_the_input_has_one() -> None:
    x = Samples(
        {
            "ids": ragged([[5], [6, 7]]),
            "rate": Column(np.array([8, 16])),
            "frames": Column(np.ones((6, 2), np.float32), np.array([2, 4])),
        }
    )
    feed = x.feed(1, asks(FRAMES, IDS, RATE))
    assert {name: value.shape for name, value in feed.items()} == {"ids": (1, 2), "rate": (), "frames": (4, 2)}
    assert feed["rate"] == 16 and feed["ids"].tolist() == [[6, 7]]
    with pytest.raises(ValueError, match="there is no input 'rate': the model takes ids, frames"):
        x.feed(0, asks(IDS, FRAMES))


def test_many_samples_are_fed_at_once_only_where_that_can_be() -> None:
    dense = Samples({"ids": Column(np.arange(6).reshape(3, 2))})
    assert dense.batch(1, 3, asks(IDS))["ids"].tolist() == [[2, 3], [4, 5]]
    with pytest.raises(ValueError, match="'ids' has samples of several shapes: ask one sample at a time"):
        Samples({"ids": ragged([[1], [2, 3]])}).batch(0, 2, asks(IDS))
    with pytest.raises(ValueError, match="'rate' takes no batch"):
        Samples({"rate": Column(np.arange(3))}).batch(0, 2, asks(RATE))


def test_a_sequence_is_stepped_through_and_what_has_no_steps_stays() -> None:
    step = Tensor("frames", "FP32", ("batch", 2))
    frames = Column(np.arange(10, dtype=np.float32).reshape(5, 2), np.array([2, 3]))
    x = Samples({"frames": frames, "rate": Column(np.array([8, 16]))})
    steps = list(x.steps(1, asks(step, RATE)))
    assert [feed["frames"].tolist() for feed in steps] == [[[4, 5]], [[6, 7]], [[8, 9]]]
    assert [int(feed["rate"]) for feed in steps] == [16, 16, 16]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"a": Column(np.zeros((1, 3, 2))), "b": Column(np.zeros((1, 4, 2)))}, "has a 3, b 4"),
        ({"a": Column(np.zeros((1, 2))), "b": Column(np.zeros((1, 2)))}, "has none"),
    ],
)
def test_sequences_without_equally_many_steps_are_refused(columns: dict[str, Column], told: str) -> None:
    signature = asks(Tensor("a", "FP32", ("batch", 2)), Tensor("b", "FP32", ("batch", 2)))
    with pytest.raises(ValueError, match=f"sample 0 must have as many steps in each input, and {told}"):
        list(Samples(columns).steps(0, signature))


def digested(split: Split) -> str:
    digest = hashlib.sha256()
    split.digest_into(digest)
    return digest.hexdigest()


def test_one_dense_input_with_classes_is_digested_as_ever() -> None:
    x, y = np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.array([1, 0])
    assert digested(Split(Samples({"image": Column(x)}), RawLabels(Column(y)))) == (
        hashlib.sha256(b"|u1 (2, 2, 2)\n" + x.tobytes() + b"<i8 (2,)\n" + y.tobytes()).hexdigest()
    )


def test_digests_tell_names_lengths_and_labels_apart() -> None:
    flat, one = np.arange(4), Column(np.arange(2))
    splits = [
        Split(Samples({"a": Column(flat, np.array([1, 3]))}), None),
        Split(Samples({"a": Column(flat, np.array([3, 1]))}), None),
        Split(Samples({"a": Column(flat, np.array([3, 1]))}), RawLabels(one)),
        Split(Samples({"a": one, "b": one}), None),
        Split(Samples({"a": one, "c": one}), None),
    ]
    assert len({digested(split) for split in splits}) == len(splits)


def test_labels_are_read_one_a_sample() -> None:
    assert list(RawLabels(Column(np.array([2, 0])))) == [2, 0]
    assert list(RawLabels(Column(np.array(["yes", "no"])))) == ["yes", "no"]
    boxes = RawLabels(Column(np.arange(15.0).reshape(3, 5), np.array([0, 2, 1])))
    assert [box.shape for box in boxes] == [(0, 5), (2, 5), (1, 5)]
    assert boxes[-1].tolist() == [[10, 11, 12, 13, 14]]


def test_what_takes_one_array_says_what_it_was_given_instead() -> None:
    image, classes = Column(np.zeros((2, 3), np.uint8)), RawLabels(Column(np.array([1, 0], np.uint8)))
    split = Split(Samples({"image": image}), classes).arrays
    assert isinstance(split, ArraySplit) and split.labels().dtype == np.int64
    assert Split(Samples({"image": image}), None).arrays.y is None
    for wrong, told in (
        (Split(Samples({"a": image, "b": image}), None), "several inputs"),
        (Split(Samples({"a": ragged([[1], [2, 3]])}), None), "samples of several shapes"),
        (Split(Samples({"a": image}), RawLabels(Column(np.zeros((2, 4))))), "a class as the label of each sample"),
    ):
        with pytest.raises(DataError, match=told):
            _ = wrong.arrays


def test_a_split_is_cut_with_its_labels() -> None:
    split = Split(Samples({"a": Column(np.arange(5))}), RawLabels(Column(np.arange(5))))
    assert (len(split), len(split.first(2)), list(split.first(2).labels())) == (5, 2, [0, 1])
    with pytest.raises(DataError, match="this needs labels"):
        Split(split.x, None).labels()
