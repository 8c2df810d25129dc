"""Packs pictures with boxes, as COCO's JSON names them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefleet_compression.errors import DataError
from edgefleet_compression.packing.framing import Framing, framed
from edgefleet_compression.packing.listing import same_content, split_of
from edgefleet_compression.packing.origins import PackedSample, SampleOrigin
from edgefleet_compression.packing.pictures import opened_picture, upright
from edgefleet_profiles.faults import words_of


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class CocoPicture(_Part):
    """A picture: its file, from the folder on, and its size."""

    id: int | str
    file_name: str
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class CocoBox(_Part):
    """A thing in a picture, as x, y, width and height; a crowd is several things in one box."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class CocoCategory(_Part):
    """What a number stands for."""

    id: int
    name: str


class CocoFile(_Part):
    """What is read of a COCO JSON of detections."""

    images: list[CocoPicture]
    annotations: list[CocoBox]
    categories: list[CocoCategory]


def read_coco(path: Path) -> CocoFile:
    """The pictures, boxes and categories of a file.

    Raises:
        DataError: it is none, or refers to what it does not have.
    """
    try:
        found = CocoFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a COCO JSON") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path} is no COCO JSON of detections: {where}: {words_of(first)}") from None
    _check_ids(path, found)
    pictures, categories = {one.id for one in found.images}, {one.id for one in found.categories}
    for what, known, ids in (
        ("image", pictures, [box.image_id for box in found.annotations]),
        ("category", categories, [box.category_id for box in found.annotations]),
    ):
        if unknown := [one for one in ids if one not in known]:
            raise DataError(f"{path} has a box of {what} {unknown[0]}, which it does not have: correct one of them")
    return found


def _check_ids(path: Path, found: CocoFile) -> None:
    for what, told in (("images", [one.id for one in found.images]), ("categories", [c.id for c in found.categories])):
        if len(set(told)) < len(told):
            raise DataError(f"{path} has two {what} with one id: give each its own")


@dataclass(frozen=True)
class _Boxes:
    picture: CocoPicture
    boxes: NDArray[np.float32]


class CocoPacker:
    """The pictures of a COCO file, each with its boxes; those of crowds are left out."""

    def __init__(
        self, coco: CocoFile, folder: Path, framing: Framing, input_name: str | None = None, classes: Sequence[str] = ()
    ) -> None:
        """Find the pictures.

        Args:
            coco: the file.
            folder: the one that its file names are from.
            framing: what each picture is made into; boxes follow it.
            input_name: what the model calls its input.
            classes: names of categories in the order of the model's classes; in the order of their ids if empty.

        Raises:
            DataError: a picture is missing, or a category is none of the classes.
        """
        self._folder, self._framing = folder, framing
        numbers, self.classes = _numbered(coco.categories, classes)
        self.inputs: tuple[str | None, ...] = (input_name,)
        of = defaultdict(list)
        for box in coco.annotations:
            if not box.iscrowd:
                x, y, wide, high = box.bbox
                of[box.image_id].append([numbers[box.category_id], x, y, x + wide, y + high])
        self._boxes = [_Boxes(one, np.array(of[one.id], np.float32).reshape(-1, 5)) for one in coco.images]
        paths = [folder / one.file_name for one in coco.images]
        if missing := [path for path in paths if not path.is_file()]:
            raise DataError(f"{missing[0]} does not exist: give the folder that the names in the JSON are from")
        pairs = zip(coco.images, same_content(paths), strict=True)
        self.origins = tuple(SampleOrigin(one.file_name, None, split_of(one.file_name), keys) for one, keys in pairs)

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read a picture and its boxes [class, x1, y1, x2, y2], in the pixels of what is packed.

        Raises:
            DataError: it is broken, of another size than the JSON says, or a box is none.
        """
        told, boxes = self._boxes[place].picture, self._boxes[place].boxes
        name = told.file_name
        picture = opened_picture(self._folder / name, name)
        size = (told.width, told.height)
        turned = upright(picture)
        # Who drew the boxes saw the picture upright or as it lies in the file: unless it is a square, its size tells.
        if turned.size == size:
            picture = turned
        elif picture.size != size:
            actual = f"{picture.width}x{picture.height}"
            raise DataError(f"{name} is {actual}, and the JSON says {size[0]}x{size[1]}: correct one of them")
        flat = (boxes[:, 3:] <= boxes[:, 1:3]).any(axis=1) | ~np.isfinite(boxes).all(axis=1)
        if flat.any():
            raise DataError(f"{name} has a box without an area, {boxes[flat][0, 1:].tolist()}: correct the JSON")
        found = framed(picture, self._framing)
        kept = found.boxes(boxes)
        yield PackedSample((found.pixels,), kept, tuple(self.classes[int(one)] for one in kept[:, 0]))


def _numbered(categories: Sequence[CocoCategory], classes: Sequence[str]) -> tuple[dict[int, int], tuple[str, ...]]:
    """The class of each category, and the names of the classes."""
    if not classes:
        ordered = sorted(categories, key=lambda one: one.id)
        return {one.id: place for place, one in enumerate(ordered)}, tuple(one.name for one in ordered)
    names = list(classes)
    if unknown := [one.name for one in categories if one.name not in names]:
        raise DataError(f"the category '{unknown[0][:60]}' is none of the classes: add it to --classes")
    return {one.id: names.index(one.name) for one in categories}, tuple(names)
