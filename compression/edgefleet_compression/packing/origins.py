"""What samples are packed from: files, rows or recordings, each known by name before it is read. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgefleet_compression.models.splits.data import SplitName

OriginLabel = int | float | str
"""The class of an origin, by number or by name, or a number; None in its place if it has none or several."""


@dataclass(frozen=True, slots=True)
class SampleOrigin:
    """A file or a row that one or several samples are made of.

    `split` is where it must go, or None. Origins that share one of their `keys` go to the same split.
    """

    name: str
    label: OriginLabel | None = None
    split: SplitName | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackedSample:
    """One sample: an array for each input, in their order, and its label, if there are labels.

    `shows` names the classes that are in it, where the origin has no single one.
    """

    inputs: tuple[NDArray[Any], ...]
    label: NDArray[Any] | None = None
    shows: tuple[str, ...] = ()


class Packer(Protocol):
    """A kind of files: which samples there are, and how each is read."""

    @property
    def inputs(self) -> Sequence[str | None]:
        """What the model calls its inputs; None for the only one, whatever it is called."""

    @property
    def origins(self) -> Sequence[SampleOrigin]:
        """All there are."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of their numbers; empty if labels are no classes with names."""

    def read(self, place: int) -> Iterator[PackedSample]:
        """Read the samples of an origin.

        Args:
            place: the origin's, from 0.

        Raises:
            DataError: it is broken; the message is one line that names it.
        """
