"""Packs a folder of npz files, one a sample: for samples of unequal shapes, which no single array holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.npz_file import opened
from edgefleet_compression.packing.listing import FileList
from edgefleet_compression.packing.origins import PackedSample, SampleOrigin

SAMPLE, LABEL = "x", "y"
"""What the arrays of a file are called: the only input, and the label."""


class SingleSamplePacker:
    """The npz files of a folder: each has an array for each input, `x` if there is one, and perhaps its label `y`."""

    def __init__(self, files: FileList, input_name: str | None = None) -> None:
        """Look at the first file, which tells what all must have.

        Args:
            files: the files; folders of classes give labels to those that have no `y`.
            input_name: what the model calls its input, where files call it `x`.

        Raises:
            DataError: it cannot be read.
        """
        self._files = files
        self.origins: tuple[SampleOrigin, ...] = files.origins
        self.classes = files.classes
        first = _arrays(files.paths[0], files.origins[0].name)
        self._names = tuple(name for name in first if name != LABEL)
        self._labelled = LABEL in first
        if not self._names:
            raise DataError(f"{self.origins[0].name} has no array but y: call its sample x, or each input by its name")
        alone = self._names == (SAMPLE,)
        self.inputs: tuple[str | None, ...] = (input_name,) if alone else self._names

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read a sample.

        Raises:
            DataError: it is broken, or has other arrays than the first.
        """
        name = self.origins[place].name
        found = _arrays(self._files.paths[place], name)
        if set(found) != {*self._names, *([LABEL] if self._labelled else [])}:
            wanted = [*self._names, *([LABEL] if self._labelled else [])]
            raise DataError(f"{name} has {', '.join(found) or 'nothing'}: give {', '.join(wanted)}, as the first file")
        label = found.get(LABEL, self._files.label(place))
        yield PackedSample(tuple(found[one] for one in self._names), label)


def _arrays(path: Path, name: str) -> dict[str, NDArray[Any]]:
    try:
        with opened(path) as npz:
            found = {one: npz.read(one) for one in npz.names}
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    # Text of a fixed width of bytes is text as well.
    return {one: np.char.decode(x, "utf-8") if x.dtype.kind == "S" else x for one, x in found.items()}
