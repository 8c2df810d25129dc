"""The data file is plain arrays of the right type and shape, or it is refused with the reason."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.data import Data, SplitName, first_look, samples_in


def written(folder: Path, **arrays: Any) -> Data:
    np.savez(folder / "data.npz", **arrays)
    return Data(folder / "data.npz", (1, 2, 2), 3)


X = np.zeros((4, 1, 2, 2), np.uint8)
Y = np.array([0, 1, 2, 0])


def test_a_split_is_read_with_labels_as_int64(tmp_path: Path) -> None:
    split = written(tmp_path, x_val=X, y_val=Y.astype(np.uint8)).split("val")
    assert split.x.shape == (4, 1, 2, 2) and split.y.dtype == np.int64
    assert len(split.first(3).x) == 3 and len(split.first(0).x) == 4


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x_test": X, "y_test": Y}, "has no x_val and no y_val: add the split"),
        ({"x_val": X}, "has no y_val"),
        ({"x_val": X.astype(np.float32), "y_val": Y}, r"x_val is float32 .*: give uint8 \[N, 1, 2, 2\]"),
        ({"x_val": X[:, 0], "y_val": Y}, "give uint8"),
        ({"x_val": X, "y_val": Y[:3]}, "one label from 0 to 2 for each of 4 samples"),
        ({"x_val": X, "y_val": Y + 1}, "one label from 0 to 2"),
        ({"x_val": X, "y_val": Y.astype(float)}, "one label from 0 to 2"),
    ],
)
def test_what_a_step_could_not_use_is_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        written(tmp_path, **arrays).split("val")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an npz of plain arrays"):
        written(tmp_path, x_val=np.array([{"a": 1}], object), y_val=Y).split("val")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match="is not an npz"):
        Data(tmp_path / "data.npz", (1, 2, 2), 3).split("val")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="is not an npz"):
        Data(tmp_path / "data.npz", (1, 2, 2), 3).split("val")


def test_one_array_is_split_by_seed_without_overlap_and_always_alike(tmp_path: Path) -> None:
    x = np.arange(100, dtype=np.uint8).repeat(4).reshape(100, 1, 2, 2)
    splits = [written(tmp_path, x=x, y=x[:, 0, 0, 0] % 3).split(name) for name in ("calib", "val", "test")]
    values = [set(split.x[:, 0, 0, 0].tolist()) for split in splits]
    assert [len(found) for found in values] == [20, 40, 40]
    assert set.union(*values) == set(range(100))
    assert sorted(values[0])[:5] == [2, 7, 8, 13, 16]
    for split in splits:
        np.testing.assert_array_equal(split.labels(), split.x[:, 0, 0, 0] % 3)


def test_one_array_gives_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no x_train and no y_train"):
        written(tmp_path, x=X.repeat(5, 0), y=Y.repeat(5)).split("train")


def test_labels_may_be_left_out_or_minus_one_where_they_are_not_needed(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_val=X, x_test=X, y_test=np.full(4, -1))
    data = Data(tmp_path / "data.npz", (1, 2, 2), None, labelled=False)
    assert data.split("val").y is None and data.split("test").y is None
    assert data.split("val").first(2).y is None
    with pytest.raises(DataError, match="this needs labels"):
        data.split("val").labels()


def test_float32_is_taken_with_a_scale_of_one_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_val=X.astype(np.float32), y_val=Y)
    assert Data(tmp_path / "data.npz", (1, 2, 2), 3, scale=1).split("val").x.dtype == np.float32
    with pytest.raises(DataError, match="or float32 with a scale of 1"):
        Data(tmp_path / "data.npz", (1, 2, 2), 3, scale=0.5).split("val")


def test_how_many_samples_a_split_has_is_read_from_headers_alone(tmp_path: Path) -> None:
    named, whole, foreign = tmp_path / "named.npz", tmp_path / "whole.npz", tmp_path / "foreign.npz"
    np.savez(named, x_train=np.zeros((7, 2), np.uint8), x_val=np.zeros((0, 2), np.uint8))
    np.savez(whole, x=np.zeros((20, 2), np.uint8))
    foreign.write_bytes(b"not an archive")
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    assert [samples_in(named, name) for name in splits] == [7, 0, 0]
    assert [samples_in(whole, name) for name in splits] == [0, 8, 8]
    assert (samples_in(foreign, "train"), samples_in(tmp_path / "none.npz", "train")) == (0, 0)


def test_a_shape_below_zero_is_no_array(tmp_path: Path) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (-1, 4)}
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive, archive.open("x_val.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(DataError, match="a size is 0 or more"):
        first_look(tmp_path / "data.npz")
