"""`edgefleet data images`: pictures become uint8 samples, each in one split, and nothing is passed over in silence."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.compression.packing import Packing

from edgefleet_compression.models.splits.column_checks import WantedInput
from edgefleet_compression.models.splits.data import SplitFile
from edgefleet_compression.models.splits.parts import PartReader


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    return Packing(tmp_path)


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30), **how: object) -> Path:
    """A picture of one colour, width x height, with a corner that no other has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, colour)
    picture.putpixel((0, 0), tuple(os.urandom(3)))
    picture.save(path, **how)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten red cats and ten blue dogs."""
    folder = tmp_path / "pets"
    for n in range(10):
        draw(folder / "cat" / f"{n}.png", (200, 0, 0))
        draw(folder / "dog" / f"{n}.jpg", (0, 0, 200), (50, 30 + n))
    return folder


def test_a_folder_for_each_class_becomes_labels_that_are_spread_over_all_splits(packing: Packing, pets: Path) -> None:
    told = packing.packs("images", pets, "--size", "24")
    arrays = packing.arrays
    assert told["classes"] == ["cat", "dog"]
    assert {name: split["classes"] for name, split in told["splits"].items()} == {
        "calib": {"cat": 2, "dog": 2},
        "val": {"cat": 4, "dog": 4},
        "test": {"cat": 4, "dog": 4},
    }
    assert (arrays["x_val"].shape, arrays["x_val"].dtype) == ((8, 24, 24, 3), np.dtype(np.uint8))
    assert packing.out.with_suffix(".txt").read_text() == "cat\ndog\n"
    red = arrays["x_val"][:, 12, 12, 0] > 150
    assert np.array_equal(red, arrays["y_val"] == 0)
    assert len(set(arrays["y_val"][:4])) == 2, "a golden set takes the first: they must not be of one class"


def test_what_is_packed_is_what_the_controller_reads(packing: Packing, pets: Path) -> None:
    packing.types("images", pets, "--input", "frame")
    wanted = WantedInput("frame", ("UINT8",), ("height", "width", 3))
    val = SplitFile(packing.out, PartReader((wanted,), labelled=True)).read("val")
    assert len(val) == 8 and val.y is not None
    for row in range(8):
        sample = val.x.columns["frame"].row(row)
        assert sample.shape[2] == 3
        assert (sample[20, 20, 0] > 150) == (val.y[row] == 0)


def test_the_same_files_and_seed_make_the_same_bytes_and_another_seed_other_splits(
    packing: Packing, pets: Path
) -> None:
    one = packing.packs("images", pets, "--size", "8")["sha256"]
    assert packing.packs("images", pets, "--size", "8")["sha256"] == one
    assert packing.packs("images", pets, "--size", "8", "--seed", "1")["sha256"] != one


@pytest.mark.parametrize(("fit", "dark", "edge"), [("crop", 1, 0), ("stretch", 1 / 3, 0), ("letterbox", 1 / 9, 114)])
def test_fit_says_what_happens_to_other_proportions(packing: Packing, fit: str, dark: float, edge: int) -> None:
    """Tall pictures, white with a black third in the middle, which is all that a crop keeps."""
    folder = packing.folder / "tall"
    folder.mkdir()
    for n in range(10):
        picture = Image.new("L", (20, 60), 255)
        picture.paste(0, (0, 20, 20, 40))
        picture.putpixel((n, 0), 200)
        picture.save(folder / f"{n}.png")
    packing.types("images", folder, "--size", "30x30", "--fit", fit, "--colour", "grey")
    sample = packing.arrays["x_val"][0, :, :, 0]
    assert sample.shape == (30, 30)
    assert (sample < 64).mean() == pytest.approx(dark, abs=0.04)
    assert sample[15, 0] == edge


def test_colours_and_axes_are_as_asked_for(packing: Packing) -> None:
    for n in range(10):
        draw(packing.folder / "red" / f"{n}.png", (200, 100, 50))
    packing.types("images", packing.folder / "red", "--colour", "bgr", "--axes", "nchw")
    sample = packing.arrays["x_test"][0]
    assert sample.shape == (3, 30, 40)
    assert sample[:, 10, 10].tolist() == [50, 100, 200]
    assert "y_test" not in packing.arrays, "flat folders have no labels"


def test_a_picture_taken_upright_is_upright(packing: Packing) -> None:
    folder = packing.folder / "phone"
    for n in range(10):
        picture = Image.new("RGB", (40, 20))
        picture.paste((255, 0, 0), (0, 0, 20, 20))  # the left half, which is on top once it is turned
        picture.putpixel((39, n), (n, n, 9))
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees, clockwise
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"{n}.png", exif=exif)
    packing.types("images", folder)
    sample = packing.arrays["x_val"][0]
    assert sample.shape == (40, 20, 3)
    assert sample[5, 10].tolist() == [255, 0, 0] and sample[35, 10].tolist() == [0, 0, 0]


def test_the_same_picture_never_gets_into_two_splits(packing: Packing) -> None:
    folder = packing.folder / "many"
    for n in range(12):
        one = draw(folder / "a" / f"{n}.png", (n, n, n))
        for copy in range(3):
            (folder / "a" / f"{n}-copy-{copy}.png").write_bytes(one.read_bytes())
    packing.types("images", folder)
    seen = [{sample.tobytes() for sample in packing.arrays[f"x_{name}"]} for name in ("calib", "val", "test")]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 12


def test_folders_of_splits_are_kept_and_calib_is_taken_out_of_train(packing: Packing) -> None:
    folder = packing.folder / "split"
    for name, grey, count in (("train", 10, 20), ("val", 90, 5), ("test", 200, 6)):
        for n in range(count):
            draw(folder / name / f"class-{n % 2}" / f"{n}.png", (grey, grey, grey))
    told = packing.packs("images", folder, "--size", "8")
    counts = {name: (split["samples"], split["drawn_from"]) for name, split in told["splits"].items()}
    assert counts == {"calib": (4, "train"), "train": (16, None), "val": (5, None), "test": (6, None)}
    middle = {name: set(packing.arrays[f"x_{name}"][:, 5, 5, 0].tolist()) for name in counts}
    assert middle == {"calib": {10}, "train": {10}, "val": {90}, "test": {200}}


def test_a_picture_that_is_in_two_folders_of_splits_is_refused(packing: Packing) -> None:
    folder = packing.folder / "leak"
    for name in ("train", "val", "test"):
        for n in range(5):
            one = draw(folder / name / f"{n}.png", (9, 9, 9))
    (folder / "train" / "again.png").write_bytes(one.read_bytes())
    said = packing.types("images", folder, code=1)
    assert "train/again.png in train and test/4.png in test are the same" in said or (
        "test/4.png in test and train/again.png in train are the same" in said
    )


def test_a_broken_file_is_named_and_left_out_only_with_skip(packing: Packing, pets: Path) -> None:
    whole = (pets / "cat" / "1.png").read_bytes()
    (pets / "cat" / "half.png").write_bytes(whole[: len(whole) // 2])
    (pets / "dog" / "notes.txt").write_text("good dogs")
    Image.new("I;16", (9, 9), 40_000).save(pets / "cat" / "deep.png")
    said = packing.types("images", pets, code=1)
    assert said.startswith("edgefleet: ") and "; --skip leaves out what cannot be read" in said
    told = packing.packs("images", pets, "--skip")
    reasons = {one["name"]: one["reason"] for one in told["left_out"]}
    assert set(reasons) == {"cat/half.png", "dog/notes.txt", "cat/deep.png"}
    assert "broken" in reasons["cat/half.png"] or "no picture" in reasons["cat/half.png"]
    assert reasons["dog/notes.txt"] == "dog/notes.txt is no picture"
    assert "more than 8 bits" in reasons["cat/deep.png"]
    assert sum(split["samples"] for split in told["splits"].values()) == 20
    shown = packing.types("images", pets, "--skip", "--force")
    assert "left out: dog/notes.txt is no picture" in shown


def test_a_list_gives_labels_splits_and_groups(packing: Packing) -> None:
    folder, lines = packing.folder / "flat", ["file,label,group"]
    for n in range(20):
        draw(folder / f"{n}.png", (n // 2 * 10, 0, 0))
        lines.append(f"{n}.png,{'cat' if n % 4 < 2 else 'dog'},owner {n // 2}")
    (packing.folder / "labels.csv").write_text("\n".join(lines))
    packing.types("images", folder, "--labels", packing.folder / "labels.csv")
    owners = [set(packing.arrays[f"x_{name}"][:, 5, 5, 0].tolist()) for name in ("calib", "val", "test")]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 10
    assert sorted(np.concatenate([packing.arrays[f"y_{n}"] for n in ("calib", "val", "test")])) == [0] * 10 + [1] * 10


def test_numbers_as_folders_are_the_numbers_of_classes(packing: Packing) -> None:
    for n in range(12):
        for shade in range(4):
            draw(packing.folder / "digits" / str(n) / f"{shade}.png", (n * 20, shade, 0))
    packing.types("images", packing.folder / "digits", "--shares", "calib=25%,val=25%,test=50%")
    arrays = packing.arrays
    assert np.array_equal(arrays["x_test"][:, 5, 5, 0], arrays["y_test"] * 20), "10 is not between 1 and 2"


def test_classes_are_in_the_models_order(packing: Packing, pets: Path) -> None:
    (packing.folder / "classes.txt").write_text("dog\nhorse\ncat\n")
    told = packing.packs("images", pets, "--classes", packing.folder / "classes.txt")
    assert told["classes"] == ["dog", "horse", "cat"]
    assert set(packing.arrays["y_val"]) == {0, 2}
    (packing.folder / "classes.txt").write_text("dog\nca\n")
    said = packing.types("images", pets, "--classes", packing.folder / "classes.txt", "--force", code=1)
    assert "is of the class 'cat': did you mean 'ca'?" in said


def test_what_is_there_is_replaced_only_by_force_and_never_by_half(packing: Packing, pets: Path) -> None:
    packing.out.write_text("mine")
    assert "is there already: --force replaces it" in packing.types("images", pets, code=1)
    (pets / "cat" / "0.png").write_bytes(b"no picture")
    packing.types("images", pets, "--force", code=1)
    assert packing.out.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--size", "224x"], 2, "--size '224x' is no size: write 224, or 480x640 for a height of 480"),
        (["--shares", "calib=0.5,val=0.5"], 2, "--shares has no test: every model needs calib, val, test"),
        (["--shares", "calib=50%,val=50%,test=50%"], 2, "--shares add up to 150%: they must make 100%"),
        (["--shares", "calib=50%,vall=20%,test=30%"], 2, "did you mean 'val'?"),
        (["--shares", "calib=1%,val=1%,test=98%"], 1, "leaves calib empty: give more, or other shares"),
        (["--labels", "nowhere.csv"], 1, "nowhere.csv cannot be read as a csv of labels"),
        (["--fit", "squeeze"], 2, "'squeeze' is not one of"),
    ],
)
def test_options_that_cannot_be_meant_are_told_in_one_line(
    packing: Packing, pets: Path, words: list[str], code: int, told: str
) -> None:
    assert told in packing.types("images", pets, *words, code=code)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "has no files: give the folder with the samples"),
        (["a/1.png", "2.png"], "has folders of classes, and 2.png is in none"),
        (["train/1.png", "validation/2.png"], "call folders of splits calib, train, val, test"),
        (["1.png", "2.png"], "all that is given, 2 in number leaves"),
    ],
)
def test_a_folder_that_can_be_read_in_two_ways_is_refused(packing: Packing, files: list[str], told: str) -> None:
    folder = packing.folder / "odd"
    folder.mkdir()
    for name in files:
        draw(folder / name, (1, 2, 3))
    assert told in packing.types("images", folder, code=1)


def test_where_pictures_cannot_be_read_the_extra_is_named(packing: Packing, pets: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    for name in ("framing", "pictures"):
        monkeypatch.delitem(__import__("sys").modules, f"edgefleet_compression.packing.{name}", raising=False)
    said = packing.types("images", pets, code=1)
    assert said == "edgefleet: packing pictures needs PIL: pip install 'edgefleet[data]'\n"
