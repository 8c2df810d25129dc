"""A golden set gives a session what it takes: any number of inputs, ragged ones and texts, with or without a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefleet_agent.golden_samples import GoldenSamples
from edgefleet_protocol.signature import Signature, Tensor

TEXT = np.dtype(object)
SIGNATURE = Signature(
    (
        Tensor("tokens", "INT64", (1, "time")),
        Tensor("picture", "FP32", ("batch", 2, 2)),
        Tensor("word", "BYTES", ("batch",)),
        Tensor("rate", "INT64", ()),
    ),
    (Tensor("y", "FP32", ("batch", 3)),),
)
DTYPES = (np.dtype("<i8"), np.dtype("<f4"), TEXT, np.dtype("<i8"))
ARRAYS: dict[str, Any] = {
    "inputs/0": np.arange(6, dtype=np.int32),
    "inputs/0/lengths": np.array([2, 1, 3]),
    "inputs/1": np.full((3, 2, 2), 255, np.uint8),
    "inputs/2": np.array(["a", "", "vögel"]),
    "inputs/3": np.array([8000, 8000, 16000]),
    "labels": np.arange(3),
}


def samples(folder: Path, **changes: Any) -> GoldenSamples:
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(folder / "golden.npz", **arrays)
    return GoldenSamples(folder / "golden.npz", SIGNATURE, 1 / 255)


def test_each_input_is_given_in_its_own_type_and_shape(tmp_path: Path) -> None:
    golden = samples(tmp_path)
    feeds = list(golden)
    assert [feed["tokens"].tolist() for feed in feeds] == [[[0, 1]], [[2]], [[3, 4, 5]]]
    assert [feed["word"].tolist() for feed in feeds] == [["a"], [""], ["vögel"]]
    assert [(feed["rate"].shape, int(feed["rate"])) for feed in feeds] == [((), 8000), ((), 8000), ((), 16000)]
    picture = feeds[0]["picture"]
    assert picture.shape == (1, 2, 2) and picture.dtype == np.float32 and picture.max() == np.float32(255) / 255
    assert all(feeds[0][tensor.name].dtype == dtype for tensor, dtype in zip(SIGNATURE.inputs, DTYPES, strict=True))


def test_a_single_real_number_is_an_array_as_a_session_takes_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{"inputs/0": np.ones((2, 3), np.float32), "inputs/1": np.array([0.5, 2.0])})
    signature = Signature((Tensor("sound", "FP32", (1, 3)), Tensor("lowest", "FP32", ())), (Tensor("y", "FP32", (1,)),))
    found = [feed["lowest"] for feed in GoldenSamples(tmp_path / "golden.npz", signature, 1.0)]
    assert all(isinstance(one, np.ndarray) and one.dtype == np.float32 and one.shape == () for one in found)
    assert [float(one) for one in found] == [0.5, 2.0]


def test_samples_of_any_shape_lie_flat(tmp_path: Path) -> None:
    shapes = np.array([[1, 2], [2, 2], [3, 1]])
    golden = samples(tmp_path, **{"inputs/1": np.arange(9.0), "inputs/1/shapes": shapes})
    assert [feed["picture"].shape for feed in golden] == [(1, 1, 2), (1, 2, 2), (1, 3, 1)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inputs/1": None}, "no array 'inputs/1'"),
        ({"inputs/3": np.arange(2)}, r"\[2, 3\] samples for one input and another"),
        ({"inputs/0/lengths": np.array([2, 1, 4])}, "do not add up to its 6 rows"),
        ({"inputs/0/lengths": np.array([-1, 4, 3])}, "do not add up"),
        ({"inputs/0/lengths": np.array([2.0, 1.0, 3.0])}, "do not add up"),
        ({"inputs/1/shapes": np.array([[1, 2]])}, "do not add up"),
        ({"inputs/2": np.array([None])}, "cannot be read"),
        ({"inputs/0/lengths": np.array([0, 3, 3])}, "is empty"),
    ],
)
def test_a_golden_set_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        samples(tmp_path, **changes)


def test_samples_that_are_sequences_are_given_step_by_step(tmp_path: Path) -> None:
    signature = Signature((Tensor("frame", "FP32", (1, 2)), Tensor("rate", "INT64", ())), SIGNATURE.outputs)
    arrays: dict[str, Any] = {
        "inputs/0": np.arange(6, dtype=np.float32).reshape(3, 2),
        "inputs/0/lengths": np.array([2, 1]),
        "inputs/1": np.array([8000, 16000]),
    }
    np.savez(tmp_path / "golden.npz", **arrays)
    steps = list(GoldenSamples(tmp_path / "golden.npz", signature, 1).steps())
    assert [(feed["frame"].tolist(), int(feed["rate"]), first) for feed, first in steps] == [
        ([[0, 1]], 8000, True),
        ([[2, 3]], 8000, False),
        ([[4, 5]], 16000, True),
    ]
    np.savez(tmp_path / "golden.npz", **arrays, **{"inputs/1/lengths": np.array([2, 0])})
    with pytest.raises(ValueError, match=r"sample 1 of the golden set has \[0, 1\] steps"):
        list(GoldenSamples(tmp_path / "golden.npz", signature, 1).steps())
