"""A csv file whose rows are read one by one, in any order: only where each begins is in memory."""

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path

from edgefleet_compression.errors import DataError

MARK = b"\xef\xbb\xbf"
"""What some programs begin UTF-8 files with."""
OTHER_DELIMITERS = (";", "\t", "|")


class TableFile:
    """The rows of a csv file with a header; each has as many cells as there are columns."""

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        """Look at the whole file once.

        Args:
            path: the file, in UTF-8.
            delimiter: what stands between two cells.

        Raises:
            DataError: it has no header or no rows, or is no such file.
        """
        self.path = path
        self._delimiter = delimiter
        self._begins = array("q")
        found = self._parsed(self._lines(0))
        self.columns = next(found, (0, []))[1]
        self._check_header()
        for begin, row in found:
            if not row:
                continue  # a blank line
            self._begins.append(begin)
            if len(row) != len(self.columns):
                raise DataError(
                    f"{self.name(len(self) - 1)} has {len(row)} cells, and the header {len(self.columns)}: "
                    f"correct it, or name what stands between cells with --delimiter"
                )
        if not len(self):
            raise DataError(f"{path} has no rows below its header: give at least one for each split")

    def __len__(self) -> int:
        return len(self._begins)

    def rows(self) -> Iterator[list[str]]:
        """All rows, in the file's order."""
        return (row for _, row in self._parsed(self._lines(self._begins[0])) if row)

    def row(self, place: int) -> list[str]:
        """The cells of a row, by its place from 0."""
        return next(self._parsed(self._lines(self._begins[place])))[1]

    def name(self, place: int) -> str:
        """What a row is called to people: rows are counted from 1, without the header."""
        return f"row {place + 1} of {self.path.name}"

    def _check_header(self) -> None:
        if not self.columns:
            raise DataError(f"{self.path} is empty: begin it with a line that names the columns")
        if len(self.columns) == 1 and (other := [one for one in OTHER_DELIMITERS if one in self.columns[0]]):
            raise DataError(f"{self.path} has one column, '{self.columns[0][:60]}': give --delimiter {other[0]!r}")
        if unnamed := [place for place, name in enumerate(self.columns, start=1) if not name.strip()]:
            raise DataError(f"column {unnamed[0]} of {self.path} has no name: write one in the first line")
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise DataError(f"{self.path} has two columns '{twice[0][:60]}': give each a name of its own")

    def _lines(self, begin: int) -> Iterator[tuple[int, str]]:
        """Lines from a place on, each with where it begins."""
        try:
            with self.path.open("rb") as file:
                file.seek(begin)
                for line in file:
                    text = line.removeprefix(MARK) if not begin else line
                    yield begin, text.decode()
                    begin += len(line)
        except UnicodeDecodeError:
            raise DataError(f"{self.path} is not UTF-8: write it again in UTF-8") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}): give a csv file") from None

    def _parsed(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
        """Rows, each with where it begins; a cell may go over several lines."""
        begins: list[int] = []

        def told() -> Iterator[str]:
            for begin, line in lines:
                begins.append(begin)
                yield line

        reader = csv.reader(told(), delimiter=self._delimiter, strict=True)
        while True:
            begins.clear()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                where = f"row {len(self) + 1}"
                raise DataError(f"{where} of {self.path} cannot be read ({error}): correct it") from None
            yield begins[0], row
