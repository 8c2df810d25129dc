"""Tells people what was packed."""

import json
from collections.abc import Sequence
from pathlib import Path

from edgefleet_compression.packing.pack import LeftOut, PackedInput, PackedSplit, PackSummary
from edgefleet_compression.packing.writing import SUFFIX
from edgefleet_compression.printing import console, print_table

USUAL = f"data{SUFFIX}"
"""What `model init` takes for the samples, whatever else lies there."""

MOST_LEFT_OUT, MOST_CLASSES = 10, 12
"""How many are named; with --json all are."""


def print_summary(found: PackSummary, tables: Sequence[str] = ()) -> None:
    """Print what each split holds, what was left out, and what comes next.

    Args:
        found: what was packed.
        tables: those that most models need in a card of their own, to take such samples; none where a file is enough.
    """
    out = console()
    total = sum(split.samples for split in found.splits.values())
    out.print(f"{found.file} is written: {total:,} samples, {found.size_bytes:,} bytes")
    rows = [(name, f"{split.samples:,}", _source(split), _arrays(split)) for name, split in found.splits.items()]
    print_table(("split", ">samples", "from", "arrays"), rows)
    if labelled := [split for split in found.splits.values() if split.classes]:
        names = list(dict.fromkeys(name for split in labelled for name in split.classes))
        if len(names) <= MOST_CLASSES:
            counts = [(name, *(f"{split.classes.get(name, 0):,}" for split in labelled)) for name in names]
            print_table(("label", *(f">{name}" for name in found.splits), ""), [(*row, "") for row in counts])
        else:
            out.print(f"{len(names):,} different labels")
    if found.classes:
        in_card = json.dumps(list(found.classes), ensure_ascii=False)
        out.print(f"{found.classes_file} has the names of the classes; in a card: labels = {in_card}")
    for line in _left_out(found.left_out):
        out.print(line)
    if tables:
        for line in _by_card(Path(found.file), tables):
            out.print(line)
        return
    labels = f" --labels {found.classes_file}" if found.classes_file else ""
    out.print(f"register a model with it: `edgefleet model add FILE.onnx --data {found.file}{labels}`")


def _by_card(file: Path, tables: Sequence[str]) -> list[str]:
    """What to do, in order, where the model's card has to say how these samples become its input and its answers."""
    beside = [path for path in file.parent.glob(f"*{SUFFIX}") if path.name != file.name]
    lines = []
    if file.name != USUAL and beside:
        lines.append(f"call it {USUAL}, so that it is taken of the files in {file.parent}")
    return [
        *lines,
        f"write the model's card: `edgefleet model init FILE.onnx {file.parent}`",
        f"say in its {' and '.join(tables)} what the network takes and gives (docs/models.md)",
        f"then register it: `edgefleet model add {file.parent}`",
    ]


def _source(split: PackedSplit) -> str:
    if split.drawn_from is None:
        return "its folder or column"
    return "all, by seed" if split.drawn_from == "all" else f"{split.drawn_from}, by seed"


def _arrays(split: PackedSplit) -> str:
    return "; ".join(map(_array, split.columns))


def _array(column: PackedInput) -> str:
    sizes = ", ".join("any" if size is None else str(size) for size in column.shape)
    return f"{column.name} {column.type} [{sizes}]"


def _left_out(left_out: Sequence[LeftOut]) -> list[str]:
    if not left_out:
        return []
    lines = [f"left out: {one.reason}" for one in left_out[:MOST_LEFT_OUT]]
    if more := len(left_out) - len(lines):
        lines.append(f"left out: {more:,} more, which --json names")
    return lines
