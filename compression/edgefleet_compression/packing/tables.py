"""Packs the rows of a csv file: all numbers as one input, or an input for each column."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.data import SPLITS
from edgefleet_compression.packing.origins import OriginLabel, PackedSample, SampleOrigin
from edgefleet_compression.packing.table_file import TableFile
from edgefleet_profiles.spelling import nearest
from edgefleet_protocol.datatypes import BY_NAME, BYTES

TEXT = "text"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
TYPES = {TEXT: None, **{np.dtype(one.numpy).name: np.dtype(one.numpy) for one in BY_NAME.values() if one.name != BYTES}}
"""The types that a column may be given, by name; a text has none of numpy's."""
TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_WHOLE, _FLOAT = np.dtype(np.int64), np.dtype(np.float32)


@dataclass(frozen=True)
class TableForm:
    """What of a table is packed, and as what.

    `columns` are the inputs, all that are nothing else if empty, but for `left_out`. `each` makes an input of each, or
    else all are one, called `input`. `types` are of single columns, `type` of all others with numbers.
    """

    targets: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    group: str | None = None
    split: str | None = None
    each: bool = False
    input: str | None = None
    type: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its place in a row, its name, and its type; None is text."""

    place: int
    name: str
    dtype: np.dtype[Any] | None

    def value(self, row: Sequence[str], where: str) -> Any:
        """The value of a row.

        Args:
            row: its cells.
            where: what the row is called to people.

        Raises:
            DataError: it is missing, or of another type.
        """
        cell = row[self.place].strip()
        if not cell:
            raise DataError(f"{where} has no '{self.name[:60]}': fill it in, or leave the row out")
        if self.dtype is None:
            return cell
        try:
            return _number(cell, self.dtype)
        except (ValueError, OverflowError):
            raise DataError(f"{where} has '{cell[:60]}' for '{self.name[:60]}', which is no {self.dtype}") from None


class TablePacker:
    """The rows of a csv file."""

    def __init__(self, file: TableFile, form: TableForm) -> None:
        """Look at all cells once, to find what each column holds.

        Raises:
            DataError: the form names what is not there, or a column holds what its input cannot.
        """
        self._file, self._form = file, form
        names = _chosen(file.columns, form)
        self._columns = _typed(file, names, form)
        self._targets = _targets(file, form)
        self.classes = _classes(file, self._targets, form)
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        self.inputs: tuple[str | None, ...] = tuple(names) if form.each else (form.input,)
        self.origins: tuple[SampleOrigin, ...] = tuple(self._origins())

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read a row.

        Raises:
            DataError: a cell is missing, or no number where one is expected.
        """
        row, where = self._file.row(place), self._file.name(place)
        values = [column.value(row, where) for column in self._columns]
        if self._form.each:
            pairs = zip(values, self._columns, strict=True)
            inputs = tuple(np.array([value], column.dtype or np.str_) for value, column in pairs)
        else:
            inputs = (np.array(values, self._columns[0].dtype),)
        yield PackedSample(inputs, self._label(row, where))

    def _label(self, row: Sequence[str], where: str) -> NDArray[Any] | None:
        if not self._targets:
            return None
        values = [column.value(row, where) for column in self._targets]
        if self.classes:
            if values[0] not in self._numbers:
                raise DataError(f"{where} is of the class '{values[0][:60]}': {nearest(values[0], self.classes)}")
            return np.array(self._numbers[values[0]], np.int64)
        if len(values) == 1:
            return np.array(values[0], self._targets[0].dtype)
        return np.array(values, _FLOAT)

    def _origins(self) -> Iterator[SampleOrigin]:
        form, columns = self._form, self._file.columns
        for place, row in enumerate(self._file.rows()):
            where = self._file.name(place)
            alike = blake2b("\0".join(row[one.place] for one in self._columns).encode(), digest_size=16).hexdigest()
            keys: tuple[str, ...] = (f"row {alike}",)
            if form.group is not None:
                keys += (f"group {row[columns.index(form.group)]}",)
            split = None
            if form.split is not None:
                told = row[columns.index(form.split)].strip()
                split = next((name for name in SPLITS if name == told), None)
                if split is None:
                    raise DataError(f"{where} has the split '{told[:60]}': {nearest(told, SPLITS)}")
            yield SampleOrigin(where, self._shown(row), split, keys)

    def _shown(self, row: Sequence[str]) -> OriginLabel | None:
        if len(self._targets) != 1:
            return None
        target = self._targets[0]
        cell = row[target.place].strip()
        if target.dtype is None or not NUMBER.fullmatch(cell):
            return cell or None
        return int(cell) if target.dtype == _WHOLE else float(cell)


def _number(cell: str, dtype: np.dtype[Any]) -> Any:
    """A cell as a number of a type.

    Raises:
        ValueError, OverflowError: it is none.
    """
    if dtype.kind == "b":
        if cell.lower() not in TRUTHS:
            raise ValueError(cell)
        return TRUTHS[cell.lower()]
    if dtype.kind in "iu":
        if not WHOLE.fullmatch(cell):
            raise ValueError(cell)
        return dtype.type(int(cell))
    if not NUMBER.fullmatch(cell):
        raise ValueError(cell)
    found = float(cell)
    if abs(found) > float(np.finfo(dtype).max):
        raise OverflowError(cell)
    return dtype.type(found)


def _chosen(columns: Sequence[str], form: TableForm) -> list[str]:
    """The names of the columns that are inputs.

    Raises:
        DataError: the form names one that is not there, or leaves none.
    """
    others = [name for name in (*form.targets, form.group, form.split) if name is not None]
    for name in (*form.columns, *form.left_out, *others, *form.types):
        if name not in columns:
            raise DataError(f"there is no column '{name[:60]}': {nearest(name, columns)}")
    found = list(form.columns) or [name for name in columns if name not in (*others, *form.left_out)]
    if both := [name for name in found if name in (*others, *form.left_out)]:
        raise DataError(f"'{both[0]}' cannot be an input and something else: name it once")
    if not found:
        raise DataError("no column is left for an input: name one with --column")
    return found


def _typed(file: TableFile, names: Sequence[str], form: TableForm) -> tuple[TableColumn, ...]:
    """Input columns with their types, as the form or their cells tell."""
    for given in (*form.types.values(), *filter(None, [form.type])):
        if given not in TYPES:
            raise DataError(f"there is no type '{given[:60]}': {nearest(given, TYPES)}")
    found = []
    for name, (place, held) in zip(names, _held(file, names), strict=True):
        if told := form.types.get(name):
            dtype = TYPES[told]
        elif held.numbers and held.odd and form.each:
            raise DataError(
                f"'{name[:60]}' holds numbers, and '{held.odd[:60]}' in {held.where}: say what it is, "
                f"with --type '{name[:60]}=text' or --type '{name[:60]}=float32'"
            )
        elif held.odd and not held.numbers:
            dtype = None
        else:
            dtype = TYPES[form.type] if form.type else _WHOLE if held.whole and form.each else _FLOAT
        if dtype is None and not form.each:
            raise DataError(
                f"'{name[:60]}' holds texts ('{held.odd[:60]}' in {held.where}): leave it out with --leave-out, "
                "or make an input of each column with --each"
            )
        found.append(TableColumn(place, name, dtype))
    if not form.each and len({column.dtype for column in found}) > 1:
        raise DataError("one input has one type: give --type TYPE for all, or --each for an input a column")
    return tuple(found)


@dataclass
class _Held:
    """What the cells of a column hold; `odd` is the first that is no number, in the row `where`."""

    numbers: int = 0
    whole: bool = True
    odd: str = ""
    where: str = ""


def _held(file: TableFile, names: Sequence[str]) -> list[tuple[int, _Held]]:
    """What columns hold, each with its place; cells without anything tell nothing."""
    found = [(file.columns.index(name), _Held()) for name in names]
    for number, row in enumerate(file.rows()):
        for place, held in found:
            cell = row[place].strip()
            if NUMBER.fullmatch(cell):
                held.numbers += 1
                held.whole = held.whole and bool(WHOLE.fullmatch(cell))
            elif cell and not held.odd:
                held.odd, held.where = cell, file.name(number)
    return found


def _targets(file: TableFile, form: TableForm) -> tuple[TableColumn, ...]:
    """Target columns: numbers, or one with names of classes."""
    found = []
    for name, (place, held) in zip(form.targets, _held(file, form.targets), strict=True):
        # Among numbers a word stands for none: names of which some are numbers are given with --classes.
        texts = bool(form.classes or (held.odd and not held.numbers))
        if texts and len(form.targets) > 1:
            raise DataError(f"the target '{name[:60]}' holds texts: several targets are numbers, give one alone")
        found.append(TableColumn(place, name, None if texts else _WHOLE if held.whole else _FLOAT))
    if form.classes and not found:
        raise DataError("classes are named, but there are no labels: give --target COLUMN")
    return tuple(found)


def _classes(file: TableFile, targets: Sequence[TableColumn], form: TableForm) -> tuple[str, ...]:
    if not targets or targets[0].dtype is not None:
        return ()
    place = targets[0].place
    return form.classes or tuple(sorted({row[place].strip() for row in file.rows()} - {""}))
