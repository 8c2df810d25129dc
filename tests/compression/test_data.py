"""The data file is plain arrays of the right type and shape, or it is refused with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefleet_compression.data import Data
from edgefleet_compression.errors import DataError


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
        ({"x_test": X, "y_test": Y}, "holds no x_val and no y_val: add the split"),
        ({"x_val": X}, "holds no y_val"),
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
    with pytest.raises(DataError, match="no npz of plain arrays"):
        written(tmp_path, x_val=np.array([{"a": 1}], object), y_val=Y).split("val")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match="is no npz"):
        Data(tmp_path / "data.npz", (1, 2, 2), 3).split("val")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="is no npz"):
        Data(tmp_path / "data.npz", (1, 2, 2), 3).split("val")
