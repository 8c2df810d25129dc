"""Packs samples into an npz, split by split, without ever holding more than one of them in memory."""

import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgefleet_compression.errors import DataError, Unreadable
from edgefleet_compression.models.data import SplitName
from edgefleet_compression.packing.origins import PackedSample, Packer, SampleOrigin
from edgefleet_compression.packing.splitting import SplitPlan, assigned
from edgefleet_compression.packing.spooling import ColumnSpool
from edgefleet_contract.uploads import MAX_FILE_BYTES
from edgefleet_process.durable import replace_file, sync
from edgefleet_process.reading import digest_of_file

PackStage = Literal["reading", "writing"]
OnPacked = Callable[[PackStage, int, int], None]
"""Takes the stage, how much of it is done, and how much there is: files or rows, and then bytes."""
SUFFIX, CLASSES_SUFFIX = ".npz", ".txt"


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
    origins = packer.origins
    split = assigned(origins, plan)
    left_out: list[LeftOut] = []
    with ExitStack() as stack:
        parts: dict[SplitName, _Part] = {}
        done = 0
        for name, places in split.places.items():
            parts[name] = _Part([])
            for place in places:
                for sample in _read(packer, place, left_out if skip else None):
                    _add(parts[name], sample, packer, name, origins[place], stack, out.parent)
                done += 1
                on_packed("reading", done, len(origins))
            if not parts[name].columns:
                raise DataError(f"{name} has no sample that can be read: {_reasons(left_out)}")
        _check_labels(parts)
        _write(out, [column for part in parts.values() for column in part.columns], on_packed)
        told = {
            name: PackedSplit(
                samples=len(part.columns[0]),
                classes=_in_order(part.classes, packer.classes),
                drawn_from=(split.drawn[name] or "all") if name in split.drawn else None,
                columns=tuple(PackedInput(one.name, one.type_name, one.sample_shape) for one in part.columns),
            )
            for name, part in parts.items()
        }
    if packer.classes:
        replace_file(classes_file(out), "".join(f"{name}\n" for name in packer.classes).encode())
    return PackSummary(
        file=str(out),
        classes_file=str(classes_file(out)) if packer.classes else None,
        size_bytes=out.stat().st_size,
        sha256=digest_of_file(out),
        classes=tuple(packer.classes),
        splits=told,
        left_out=tuple(left_out),
    )


def check_place(out: Path, force: bool) -> None:
    """Check that the file may be written where it is to be, and the names of its classes beside it.

    Raises:
        DataError: it may not.
    """
    if out.suffix.lower() != SUFFIX:
        raise DataError(f"'{out.name}' must end in {SUFFIX}: give another name with --out")
    if not out.parent.is_dir():
        raise DataError(f"the folder {out.parent} does not exist: make it, or give another place with --out")
    for path in (out, classes_file(out)):
        if path.exists() and not force:
            raise DataError(f"{path} is there already: --force replaces it, --out names another file")


def classes_file(out: Path) -> Path:
    """Where the names of classes are written, one a line, as `model add --labels` takes them."""
    return out.with_suffix(CLASSES_SUFFIX)


def _read(packer: Packer, place: int, left_out: list[LeftOut] | None) -> Iterator[PackedSample]:
    """All samples of an origin, or none of them."""
    try:
        samples = list(packer.read(place))
    except DataError as error:
        if left_out is None:
            raise Unreadable(str(error)) from None
        left_out.append(LeftOut(packer.origins[place].name, str(error)))
        return
    yield from samples


def _add(
    part: _Part,
    sample: PackedSample,
    packer: Packer,
    split: SplitName,
    origin: SampleOrigin,
    stack: ExitStack,
    folder: Path,
) -> None:
    values = [*sample.inputs, *(() if sample.label is None else (sample.label,))]
    if not part.columns:
        names = [f"x_{split}" if name is None else f"x_{split}/{name}" for name in packer.inputs]
        names += [] if sample.label is None else [f"y_{split}"]
        for name in names:
            part.columns.append(ColumnSpool(name, folder))
            stack.callback(part.columns[-1].close)
    if len(values) != len(part.columns):
        raise DataError(
            f"{origin.name} has {'no' if sample.label is None else 'a'} label: give all samples one, or none"
        )
    for column, value in zip(part.columns, values, strict=True):
        column.add(value, origin.name)
    if isinstance(origin.label, int | str):
        part.classes[str(origin.label)] += 1
    part.classes.update(sample.shows)


def _check_labels(parts: Mapping[SplitName, _Part]) -> None:
    """See that all splits have labels, or none."""
    counts = {name: len(part.columns) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        few = min(counts, key=lambda name: counts[name])
        raise DataError(f"{few} has no labels, and other splits have: give all samples one, or none")


def _in_order(found: Mapping[str, int], classes: Sequence[str]) -> dict[str, int]:
    """How many there are of each class, in the order of their numbers."""
    if classes:
        return {name: found.get(name, 0) for name in classes}
    return dict(sorted(found.items(), key=lambda one: (len(one[0]), one[0])))


def _reasons(left_out: Sequence[LeftOut]) -> str:
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"{left_out[0].reason}{more}" if left_out else "give samples"


def _write(out: Path, columns: Sequence[ColumnSpool], on_packed: OnPacked) -> None:
    total, written = sum(column.size_bytes for column in columns), 0

    def on_written(size_bytes: int) -> None:
        nonlocal written
        written += size_bytes
        on_packed("writing", min(written, total), total)

    with _new_file(out) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for column in columns:
                column.write(archive, on_written)
        if (size := temporary.stat().st_size) > MAX_FILE_BYTES:
            raise DataError(
                f"the file would have {size:,} bytes, and a controller takes {MAX_FILE_BYTES:,}: "
                "give fewer or smaller samples"
            )


@contextmanager
def _new_file(out: Path) -> Iterator[Path]:
    """A file that takes its name once it is whole and on disk, and leaves nothing behind otherwise."""
    descriptor, name = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    temporary = Path(name)
    try:
        os.fchmod(descriptor, 0o666 & ~_umask())
        os.close(descriptor)
        yield temporary
        sync(temporary)
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(out.parent)


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now
