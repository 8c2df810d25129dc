"""Where the columns of samples and labels lie among the arrays of a data file, by their names alone. Pure.

A part of the file is `x`, `x_val` and the like, or `y`. Its column is an array of the part's own name if the model has
one input, else one named PART/INPUT: all behind the first '/' is the input's name. Instead of an array, a column of
unequal samples is two: COLUMN/values with COLUMN/lengths, or with COLUMN/shapes.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgefleet_compression.errors import DataError

VALUES, LENGTHS, SHAPES = "values", "lengths", "shapes"


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """The arrays of one column; `name` is what the column is called to people."""

    name: str
    values: str
    lengths: str | None = None
    shapes: str | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(name for name in (self.values, self.lengths, self.shapes) if name is not None)


def place_of(columns: Sequence[str], names: Container[str]) -> ColumnPlace | None:
    """The first column that is there, an array before one in two parts; None if there is none.

    Args:
        columns: what the column may be called.
        names: the file's arrays.

    Raises:
        DataError: one of the two parts is missing.
    """
    for name in columns:
        if name in names:
            return ColumnPlace(name, name)
    for name in columns:
        values, lengths, shapes = (f"{name}/{piece}" for piece in (VALUES, LENGTHS, SHAPES))
        sizes = [piece for piece in (lengths, shapes) if piece in names]
        if values in names and len(sizes) == 1:
            return ColumnPlace(name, values, *((lengths, None) if lengths in names else (None, shapes)))
        if values in names or sizes:
            has = [piece for piece in (values, *sizes) if piece in names]
            raise DataError(f"the data file has {' and '.join(has)}: give {values} with {lengths}, or with {shapes}")
    return None


def input_columns(part: str, inputs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What the column of each input may be called in a part, by the input's name."""
    alone = (part,) if len(inputs) == 1 else ()
    return {name: (*alone, f"{part}/{name}") for name in inputs}


def input_places(part: str, inputs: Sequence[str], names: Container[str]) -> Mapping[str, ColumnPlace | None]:
    """Where each input's column lies in a part; None for one that is not there.

    Raises:
        DataError: a column is not whole.
    """
    return {name: place_of(columns, names) for name, columns in input_columns(part, inputs).items()}


def columns_in(part: str, names: Sequence[str]) -> Iterator[ColumnPlace]:
    """The whole columns of a part, whatever the inputs are called; an odd piece is taken for an array of its own."""
    found = {name for name in names if name == part or name.startswith(f"{part}/")}
    for name in names:
        base, _, piece = name.rpartition("/")
        if name not in found:
            continue
        if piece in (LENGTHS, SHAPES) and f"{base}/{VALUES}" in found:
            continue
        if piece == VALUES and (sizes := [one for one in (LENGTHS, SHAPES) if f"{base}/{one}" in found]):
            yield ColumnPlace(base, name, *(f"{base}/{one}" if one in sizes else None for one in (LENGTHS, SHAPES)))
        else:
            yield ColumnPlace(name, name)
