"""Packs samples into an npz, split by split; only those of one file are ever in memory."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgefleet_compression.errors import DataError, Unreadable
from edgefleet_compression.models.splits.data import SplitName
from edgefleet_compression.packing.origins import PackedSample, Packer, SampleOrigin
from edgefleet_compression.packing.splitting import AssignedOrigins, SplitPlan, assigned
from edgefleet_compression.packing.spooling import ColumnSpool
from edgefleet_compression.packing.writing import check_place, write_classes, write_columns
from edgefleet_process.reading import digest_of_file

PackStage = Literal["reading", "writing"]
OnPacked = Callable[[PackStage, int, int], None]
"""Takes the stage, how much of it is done, and how much there is: files or rows, and then bytes."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was not packed, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PackedInput:
    """One input, or the labels: its array in the file, its type, and a sample's shape, None for what is not alike."""

    name: str
    type: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class PackedSplit:
    """One split: its samples, those of each class, and what it was drawn from if no folder said it."""

    samples: int
    classes: Mapping[str, int]
    drawn_from: str | None
    columns: tuple[PackedInput, ...]


@dataclass(frozen=True)
class PackSummary:
    """What was packed."""

    file: str
    classes_file: str | None
    size_bytes: int
    sha256: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, PackedSplit]
    left_out: tuple[LeftOut, ...]

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass
class _Part:
    """A split while it is packed."""

    columns: list[ColumnSpool]
    classes: Counter[str] = field(default_factory=Counter)


def pack(
    packer: Packer,
    out: Path,
    plan: SplitPlan,
    *,
    skip: bool = False,
    force: bool = False,
    on_packed: OnPacked = lambda stage, done, total: None,
) -> PackSummary:
    """Pack all samples; the file is there whole, or not at all.

    Args:
        packer: what there is, and how to read it.
        out: the npz to write.
        plan: which split gets how much.
        skip: leave out what is broken, instead of refusing it.
        force: replace a file that is there.
        on_packed: called after each origin, and each block that is written.

    Raises:
        DataError: one line that says what is wrong with the samples or the file's place; Unreadable for a single one.
        OSError: there is no room, or the place cannot be written.
    """
    check_place(out, force)
    split = assigned(packer.origins, plan)
    with ExitStack() as stack:
        reading = _Reading(packer, stack, out.parent, skip, on_packed)
        parts = reading.parts(split)
        columns = [column for part in parts.values() for column in part.columns]
        write_columns(out, columns, lambda done, total: on_packed("writing", done, total))
        told = {name: _told(part, packer.classes, split.source(name)) for name, part in parts.items()}
    names = write_classes(out, packer.classes)
    return PackSummary(
        file=str(out),
        classes_file=None if names is None else str(names),
        size_bytes=out.stat().st_size,
        sha256=digest_of_file(out),
        classes=tuple(packer.classes),
        splits=told,
        left_out=tuple(reading.left_out),
    )


class _Reading:
    """Reads samples split by split; they wait on disk until they are written."""

    def __init__(self, packer: Packer, stack: ExitStack, folder: Path, skip: bool, on_packed: OnPacked) -> None:
        self._packer, self._stack, self._folder = packer, stack, folder
        self._skip, self._on_packed = skip, on_packed
        self._done = 0
        self.left_out: list[LeftOut] = []

    def parts(self, split: AssignedOrigins) -> dict[SplitName, _Part]:
        """Read all.

        Raises:
            DataError: something cannot be read, or samples are unlike each other.
        """
        found = {name: self._part(name, places) for name, places in split.places.items()}
        counts = {name: len(part.columns) for name, part in found.items()}
        if len(set(counts.values())) > 1:
            few = min(counts, key=lambda name: counts[name])
            raise DataError(f"{few} has no labels, and other splits have: give all samples one, or none")
        return found

    def _part(self, name: SplitName, places: Sequence[int]) -> _Part:
        part = _Part([])
        for place in places:
            for sample in self._samples(place):
                self._add(part, sample, name, self._packer.origins[place])
            self._done += 1
            self._on_packed("reading", self._done, len(self._packer.origins))
        if not part.columns:
            raise DataError(f"{name} has no sample that can be read: {_reasons(self.left_out)}")
        return part

    def _samples(self, place: int) -> list[PackedSample]:
        """All samples of an origin, or none of them."""
        try:
            return list(self._packer.read(place))
        except DataError as error:
            if not self._skip:
                raise Unreadable(str(error)) from None
            self.left_out.append(LeftOut(self._packer.origins[place].name, str(error)))
            return []

    def _add(self, part: _Part, sample: PackedSample, split: SplitName, origin: SampleOrigin) -> None:
        values = [*sample.inputs, *(() if sample.label is None else (sample.label,))]
        if not part.columns:
            names = [f"x_{split}" if name is None else f"x_{split}/{name}" for name in self._packer.inputs]
            names += [] if sample.label is None else [f"y_{split}"]
            for name in names:
                part.columns.append(ColumnSpool(name, self._folder))
                self._stack.callback(part.columns[-1].close)
        if len(values) != len(part.columns):
            has = "no" if sample.label is None else "a"
            raise DataError(f"{origin.name} has {has} label: give all samples one, or none")
        for column, value in zip(part.columns, values, strict=True):
            column.add(value, origin.name)
        if isinstance(origin.label, int | str):
            part.classes[str(origin.label)] += 1
        part.classes.update(sample.shows)


def _told(part: _Part, classes: Sequence[str], drawn_from: str | None) -> PackedSplit:
    return PackedSplit(
        samples=len(part.columns[0]),
        classes=_in_order(part.classes, classes),
        drawn_from=drawn_from,
        columns=tuple(PackedInput(one.name, one.type_name, one.sample_shape) for one in part.columns),
    )


def _in_order(found: Mapping[str, int], classes: Sequence[str]) -> dict[str, int]:
    """How many there are of each class, in the order of their numbers."""
    if classes:
        return {name: found.get(name, 0) for name in classes}
    return dict(sorted(found.items(), key=lambda one: (len(one[0]), one[0])))


def _reasons(left_out: Sequence[LeftOut]) -> str:
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"{left_out[0].reason}{more}" if left_out else "give samples"
