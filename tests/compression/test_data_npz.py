"""`edgefleet data npz`: files with a sample each become one, whatever shapes the samples have."""

from pathlib import Path

import numpy as np
import pytest
from tests.compression.packing import Packing

from edgefleet_compression.models.splits.column_checks import WantedInput
from edgefleet_compression.models.splits.data import SplitFile
from edgefleet_compression.models.splits.parts import PartReader
from edgefleet_contract.errors import FileRefused
from edgefleet_operator.readers import samples_reader


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    (tmp_path / "samples").mkdir()
    return Packing(tmp_path)


def test_samples_of_unequal_shapes_are_read_as_they_were_given(packing: Packing) -> None:
    given = {}
    for n in range(15):
        x = np.full((1 + n % 3, 2 + n % 4), n, np.float32)
        given[n] = x
        np.savez(packing.folder / "samples" / f"{n:06}.npz", image=x, size=np.array([n], np.int64), y=np.arange(n % 3))
    packing.types("npz", packing.folder / "samples")
    inputs = (WantedInput("image", ("FP32",), ("h", "w")), WantedInput("size", ("INT64",), (1,)))
    seen = set()
    for name in ("calib", "val", "test"):
        split = SplitFile(packing.out, PartReader(inputs, labelled=True)).read(name)
        assert split.y is not None
        for row in range(len(split)):
            number = int(split.x.columns["size"].row(row)[0])
            seen.add(number)
            assert np.array_equal(split.x.columns["image"].row(row), given[number])
            assert split.y[row].tolist() == list(range(number % 3))
    assert seen == set(range(15))


def test_folders_of_splits_and_classes_tell_what_they_tell_elsewhere(packing: Packing) -> None:
    for name, count in (("calib", 2), ("val", 6), ("test", 4)):
        for n in range(count):
            path = packing.folder / "samples" / name / "ab"[n % 2] / f"{n}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, x=np.array([hash(name) % 97, n], np.int64))
    told = packing.packs("npz", packing.folder / "samples")
    assert {name: split["samples"] for name, split in told["splits"].items()} == {"calib": 2, "val": 6, "test": 4}
    assert np.array_equal(packing.arrays["y_val"], packing.arrays["x_val"][:, 1] % 2)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"z": np.zeros(3)}, "has z: give x, as the first file"),
        ({"x": np.array([{}], object)}, "holds objects"),
        ({"x": np.zeros(3, np.float32)}, "is float32 with 1 axes, and before it was float64 with 1 axes"),
        ({"x": np.zeros((3, 3))}, "is float64 with 2 axes, and before it was float64 with 1 axes"),
        (None, "is not an npz of plain arrays"),
    ],
)
def test_a_file_that_is_unlike_the_others_is_named(packing: Packing, odd: dict | None, told: str) -> None:
    for n in range(12):
        np.savez(packing.folder / "samples" / f"{n}.npz", x=np.full(3, n, float))
    path = packing.folder / "samples" / "odd.npz"
    if odd is None:
        path.write_text("nothing")
    else:
        np.savez(path, **odd, allow_pickle=True)
    said = packing.types("npz", packing.folder / "samples", code=1)
    assert "odd.npz" in said and told in said


def test_the_reader_for_models_packs_a_folder_and_tells_what_it_cannot_read(tmp_path: Path) -> None:
    for n in range(10):
        np.savez(tmp_path / f"{n}.npz", x=np.full((n + 1, 2), n, np.float32))
    out = tmp_path.parent / f"{tmp_path.name}.npz"
    samples_reader()(tmp_path, out)
    with np.load(out, allow_pickle=False) as npz:
        assert sorted(npz["x_val/lengths"]) == sorted({int(n) + 1 for n in npz["x_val/values"][:, 0]})
    (tmp_path / "odd.npz").write_text("no npz")
    with pytest.raises(FileRefused, match=r"^odd\.npz: the data file is not an npz of plain arrays"):
        samples_reader()(tmp_path, tmp_path.parent / f"{tmp_path.name}-again.npz")
