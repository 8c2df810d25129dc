"""`edgefleet data coco`: pictures with boxes, which stay on what they are around whatever the picture is made into."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.compression.packing import Packing


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    return Packing(tmp_path)


def coco(folder: Path, count: int = 10, prefix: str = "") -> dict[str, Any]:
    """Pictures of 60x40 with a white block, at x 10 + n and y 5, 20 wide and 10 high; odd ones are vans, not cars."""
    images, annotations = [], []
    for n in range(count):
        picture = Image.new("L", (60, 40), 0)
        picture.paste(255, (10 + n, 5, 30 + n, 15))
        name = f"{prefix}{n}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)
        images.append({"id": n, "file_name": name, "width": 60, "height": 40, "license": 1})
        annotations.append({"id": n, "image_id": n, "category_id": 7 if n % 2 else 3, "bbox": [10 + n, 5, 20, 10]})
    categories = [{"id": 7, "name": "van"}, {"id": 3, "name": "car"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def pack(packing: Packing, told: dict[str, Any], *words: str, code: int = 0) -> str:
    file = packing.folder / "boxes.json"
    file.write_text(json.dumps(told))
    return packing.types("coco", file, packing.folder / "pictures", *words, code=code)


def samples(packing: Packing, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures with their boxes."""
    arrays = packing.arrays
    if f"y_{split}" in arrays:
        return list(zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True))
    ends = np.cumsum(arrays[f"y_{split}/lengths"])[:-1]
    return list(zip(arrays[f"x_{split}"], np.split(arrays[f"y_{split}/values"], ends), strict=True))


@pytest.mark.parametrize("words", ["", "--size 80", "--size 20x60 --fit stretch", "--size 30 --fit crop"])
def test_boxes_are_around_what_they_name_at_any_size(packing: Packing, words: str) -> None:
    pack(packing, coco(packing.folder / "pictures"), "--colour", "grey", *words.split())
    for picture, boxes in samples(packing, "test"):
        rows, columns = (np.flatnonzero((picture[:, :, 0] > 180).any(axis)) for axis in (1, 0))
        drawn = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert boxes[0, 1:] == pytest.approx(drawn, abs=1)


def test_categories_are_numbered_by_their_ids_and_a_picture_without_boxes_has_none(packing: Packing) -> None:
    told = coco(packing.folder / "pictures", 12)
    told["annotations"] = [one for one in told["annotations"] if one["image_id"] % 3]
    told["annotations"].append({"image_id": 1, "category_id": 3, "bbox": [0, 0, 60, 40], "iscrowd": 1})
    said = json.loads(pack(packing, told, "--json"))
    assert said["classes"] == ["car", "van"]
    assert sum(sum(split["classes"].values()) for split in said["splits"].values()) == 8
    found = [pair for name in ("calib", "val", "test") for pair in samples(packing, name)]
    assert sorted(len(boxes) for _, boxes in found) == [0] * 4 + [1] * 8
    for picture, boxes in found:
        left = int(np.flatnonzero((picture > 180).any((0, 2)))[0]) - 10
        assert [box[0] for box in boxes] == ([] if left % 3 == 0 else [left % 2])


def test_classes_may_be_given_in_the_models_order(packing: Packing) -> None:
    (packing.folder / "names.txt").write_text("van\ntruck\ncar\n")
    pack(packing, coco(packing.folder / "pictures"), "--classes", str(packing.folder / "names.txt"))
    assert {int(box[0]) for _, boxes in samples(packing, "test") for box in boxes} == {0, 2}
    (packing.folder / "names.txt").write_text("van\n")
    said = pack(
        packing, coco(packing.folder / "pictures"), "--classes", str(packing.folder / "names.txt"), "--force", code=1
    )
    assert "the category 'car' is none of the classes" in said


def test_folders_of_splits_in_names_are_kept(packing: Packing) -> None:
    told = coco(packing.folder / "pictures", 5, "val/")
    for name, shade in (("train", 3), ("test", 9)):
        more = coco(packing.folder / "pictures", 5, f"{name}/")
        for n, picture in enumerate(more["images"]):
            picture["id"] = f"{name}{n}"
            path = packing.folder / "pictures" / picture["file_name"]
            Image.open(path).point(lambda x, shade=shade: max(x, shade)).save(path)
        told["images"] += more["images"]
    said = json.loads(pack(packing, told, "--json"))
    counts = {name: split["samples"] for name, split in said["splits"].items()}
    assert counts == {"calib": 1, "train": 4, "val": 5, "test": 5}


def test_boxes_drawn_on_an_upright_picture_or_on_the_file_are_told_apart_by_its_size(packing: Packing) -> None:
    told = coco(packing.folder / "pictures")
    for n, one in enumerate(told["images"]):
        path = packing.folder / "pictures" / one["file_name"]
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).save(path, exif=exif)
        if n % 2:  # drawn on what is seen: turned, 40 wide and 60 high
            one["width"], one["height"] = 40, 60
            x, y, wide, high = told["annotations"][n]["bbox"]
            told["annotations"][n]["bbox"] = [40 - y - high, x, high, wide]
    pack(packing, told, "--size", "64", "--colour", "grey")
    for picture, boxes in samples(packing, "test"):
        rows, columns = (np.flatnonzero((picture[:, :, 0] > 180).any(axis)) for axis in (1, 0))
        assert boxes[0, 1:] == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=1)


def spoilt(told: dict[str, Any], what: str) -> None:
    match what:
        case "size":
            told["images"][3]["width"] = 61
        case "missing":
            told["images"][3]["file_name"] = "gone.png"
        case "flat":
            told["annotations"][3]["bbox"] = [5, 5, 0, 9]
        case "category":
            told["annotations"][3]["category_id"] = 9
        case "image":
            told["annotations"][3]["image_id"] = 99
        case "twice":
            told["images"][3]["id"] = 4
        case "bbox":
            told["annotations"][3]["bbox"] = [1, 2, 3]
        case "none":
            del told["categories"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("size", "3.png is 60x40, and the JSON says 61x40: correct one of them"),
        ("missing", "gone.png does not exist: give the folder that the names in the JSON are from"),
        ("flat", "3.png has a box without an area, [5.0, 5.0, 5.0, 14.0]: correct the JSON"),
        ("category", "has a box of category 9, which it does not have"),
        ("image", "has a box of image 99, which it does not have"),
        ("twice", "has two images with one id: give each its own"),
        ("bbox", "is no COCO JSON of detections: annotations.3.bbox.3"),
        ("none", "is no COCO JSON of detections: categories"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_one_line(packing: Packing, what: str, words: str) -> None:
    told = coco(packing.folder / "pictures")
    spoilt(told, what)
    assert words in pack(packing, told, code=1)


def test_what_comes_next_is_a_card_that_says_where_boxes_are_and_then_registering(packing: Packing) -> None:
    said = " ".join(pack(packing, coco(packing.folder / "pictures"), "--size", "40").split())
    init, add = f"`edgefleet model init FILE.onnx {packing.folder}`", f"`edgefleet model add {packing.folder}`"
    assert 0 < said.index(init) < said.index("[preprocessing] and [answers.boxes]") < said.index(add)
    assert "--data" not in said
