"""Finds the files of a folder, and what their places tell: splits, classes, and which of them are the same."""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.data import SPLITS, SplitName
from edgefleet_compression.packing.origins import SampleOrigin
from edgefleet_process.reading import digest_of_file
from edgefleet_profiles.spelling import nearest

FILE, LABEL, SPLIT, GROUP = "file", "label", "split", "group"
"""The columns of a list of labels; the last two may be left out."""


@dataclass(frozen=True)
class FileList:
    """The files of a folder, an origin each, in the same order, and the names of their classes."""

    paths: tuple[Path, ...]
    origins: tuple[SampleOrigin, ...]
    classes: tuple[str, ...]

    def label(self, place: int) -> NDArray[Any] | None:
        """The label of a file as it is packed: the number of its class, or a number; None if it has none."""
        match self.origins[place].label:
            case None:
                return None
            case str() as name:
                return np.array(self.classes.index(name), np.int64)
            case int() as number:
                return np.array(number, np.int64)
            case number:
                return np.array(number, np.float32)


def listed(folder: Path, labels: Path | None = None, classes: Sequence[str] = ()) -> FileList:
    """The files of a folder with what their places, or a list of labels, tell of them.

    Folders named train, calib, val and test at the top are splits. Below, a folder for each class gives the labels;
    files without folders have none.

    Args:
        folder: the folder.
        labels: a csv of `file,label`, and perhaps `split` and `group`, with paths from the folder.
        classes: the names of the classes in the order of their numbers; found if empty.

    Raises:
        DataError: there are none, or the folder can be read in two ways.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give the one with the files")
    found = _by_list(folder, labels) if labels else _by_place(folder, list(_files(folder)))
    if not found:
        raise DataError(f"{folder} has no files: give the folder with the samples")
    paths = tuple(path for path, _ in found)
    named, origins = _classed([origin for _, origin in found], tuple(classes))
    keys = same_content(paths)
    kept = tuple(replace(one, keys=(*one.keys, *key)) for one, key in zip(origins, keys, strict=True))
    return FileList(paths, kept, named)


def names_in(file: Path | None) -> tuple[str, ...]:
    """The names of classes in a file, one a line; none without a file.

    Raises:
        DataError: it cannot be read, or names one twice.
    """
    if file is None:
        return ()
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as names of classes ({error}): write one a line, in UTF-8") from None
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{file} names '{twice[0][:60]}' twice: write each class once")
    if not names:
        raise DataError(f"{file} names no class: write one a line")
    return names


def split_of(path: str) -> SplitName | None:
    """The split that a path's first folder is named for."""
    first, _, rest = path.partition("/")
    return next((name for name in SPLITS if rest and name == first), None)


def _files(folder: Path) -> Iterator[Path]:
    """All files but hidden ones, in the order of their names."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _by_place(folder: Path, paths: Sequence[Path]) -> list[tuple[Path, SampleOrigin]]:
    relative = [path.relative_to(folder).parts for path in paths]
    tops = {parts[0] for parts in relative if len(parts) > 1}
    found = []
    splits = tops & set(SPLITS)
    if odd := [parts for parts in relative if splits and parts[0] not in splits]:
        name = "/".join(odd[0])
        raise DataError(
            f"{folder} has a folder '{min(splits)}', which is a split, and {name}, which is in none: "
            f"call folders of splits {', '.join(SPLITS)}, and leave nothing beside them"
        )
    for path, parts in zip(paths, relative, strict=True):
        split = cast(SplitName, parts[0]) if splits else None
        below = parts[1:] if splits else parts
        label = below[0] if len(below) > 1 else None
        found.append((path, SampleOrigin("/".join(parts), label, split)))
    unlabelled = [one.name for _, one in found if one.label is None]
    if 0 < len(unlabelled) < len(found):
        raise DataError(
            f"{folder} has folders of classes, and {unlabelled[0]} is in none: move it into one, or give --labels FILE"
        )
    return found


def _by_list(folder: Path, labels: Path) -> list[tuple[Path, SampleOrigin]]:
    try:
        with labels.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
            columns = list(rows[0]) if rows else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{labels} cannot be read as a csv of labels ({error}): write {FILE},{LABEL} lines") from None
    if missing := [name for name in (FILE, LABEL) if name not in columns]:
        raise DataError(f"{labels} has no column '{missing[0]}': begin it with the line {FILE},{LABEL}")
    if odd := [name for name in columns if name not in (FILE, LABEL, SPLIT, GROUP)]:
        raise DataError(f"{labels} has a column '{odd[0]}': {nearest(str(odd[0]), [FILE, LABEL, SPLIT, GROUP])}")
    found = []
    for number, row in enumerate(rows, start=2):
        if empty := [name for name, value in row.items() if not value]:
            raise DataError(f"line {number} of {labels} has no {empty[0]}: fill it in, or leave the line out")
        if (split := row.get(SPLIT)) and split not in SPLITS:
            raise DataError(f"line {number} of {labels} has the split '{split}': {nearest(split, SPLITS)}")
        if not (path := folder / row[FILE]).is_file():
            raise DataError(f"line {number} of {labels}: {path} does not exist: write paths from {folder} on")
        keys = (f"group {row[GROUP]}",) if GROUP in row else ()
        found.append((path, SampleOrigin(row[FILE], row[LABEL], cast(SplitName | None, split), keys)))
    twice = [name for name, count in Counter(one.name for _, one in found).items() if count > 1]
    if twice:
        raise DataError(f"{labels} has {twice[0]} more than once: give each file one label")
    return found


def _classed(origins: Sequence[SampleOrigin], given: tuple[str, ...]) -> tuple[tuple[str, ...], Sequence[SampleOrigin]]:
    """Names of the classes, and origins with labels as numbers where all are numbers."""
    labels = [str(one.label) for one in origins if one.label is not None]
    if not labels:
        if given:
            raise DataError("classes are named, but there are no labels: give a folder for each class, or --labels")
        return (), origins
    if given:
        if unknown := [one for one in origins if one.label not in given]:
            raise DataError(
                f"{unknown[0].name} is of the class '{unknown[0].label}': {nearest(str(unknown[0].label), given)}"
            )
        return given, origins
    for read in (int, float):
        try:
            return (), [replace(one, label=_finite(read, str(one.label))) for one in origins]
        except ValueError:
            continue
    return tuple(sorted(set(labels))), origins


def _finite(read: type[int] | type[float], text: str) -> int | float:
    found = read(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found


def same_content(paths: Sequence[Path]) -> list[tuple[str, ...]]:
    """For each file a key that it shares with those of the same content; none where no other is as large."""
    by_size = defaultdict(list)
    for place, path in enumerate(paths):
        by_size[path.stat().st_size].append(place)
    keys: list[tuple[str, ...]] = [()] * len(paths)
    for alike in by_size.values():
        for place in alike if len(alike) > 1 else ():
            keys[place] = (f"content {digest_of_file(paths[place])}",)
    return keys
