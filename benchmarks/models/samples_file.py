"""Made samples as the npz that a card names: dense columns where all have one shape, else values with their sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import MadeSample, MadeSamples, MadeSplit, PublicModel

SEED = 14


def write_samples(model: PublicModel, shelf: Shelf, path: Path) -> None:
    """Make the samples of every split of a model, and write them.

    Raises:
        NotFetched: a package that they are made of cannot be had.
    """
    made: dict[MadeSplit, MadeSamples] = {}
    for number, (split, count) in enumerate(model.counts.items()):
        made[split] = model.make(shelf, split, count, np.random.default_rng((SEED, number)))
    np.savez(path, allow_pickle=False, **arrays_of(made))  # floats hardly compress, and it takes minutes


def arrays_of(made: Mapping[MadeSplit, MadeSamples]) -> dict[str, NDArray[Any]]:
    """The arrays of the file by name: a column is stored alike in every split."""
    arrays: dict[str, NDArray[Any]] = {}
    inputs = list(next(iter(made.values())).inputs)
    for name in inputs:
        place = {split: f"x_{split}" + (f"/{name}" if len(inputs) > 1 else "") for split in made}
        arrays |= _column({place[split]: one.inputs[name] for split, one in made.items()})
    if all(one.labels is not None for one in made.values()):
        labels = {f"y_{split}": [np.asarray(label) for label in one.labels or ()] for split, one in made.items()}
        arrays |= _column(labels)
    return arrays


def _column(splits: Mapping[str, Sequence[MadeSample]]) -> dict[str, NDArray[Any]]:
    shapes = {value.shape for values in splits.values() for value in values}
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in splits.items():
        if len(shapes) == 1:
            arrays[name] = np.stack(values)
        elif len({shape[1:] for shape in shapes}) == 1:
            arrays[f"{name}/values"] = np.concatenate(values)
            arrays[f"{name}/lengths"] = np.array([len(value) for value in values], np.int64)
        else:
            arrays[f"{name}/values"] = np.concatenate([value.reshape(-1) for value in values])
            arrays[f"{name}/shapes"] = np.array([value.shape for value in values], np.int64)
    return arrays


def rows_of(path: Path, split: MadeSplit, inputs: Sequence[str], count: int) -> MadeSamples:
    """The first samples of a split again, as they were made.

    Args:
        path: of the file.
        split: which one.
        inputs: what the model calls its inputs.
        count: how many samples at most.
    """
    with np.load(path) as file:
        arrays = dict(file)
    columns = {name: (f"x_{split}/{name}", f"x_{split}") for name in inputs}
    found = {name: _rows(arrays, places, count) for name, places in columns.items()}
    return MadeSamples({name: rows for name, rows in found.items() if rows}, _rows(arrays, (f"y_{split}",), count))


def _rows(arrays: Mapping[str, NDArray[Any]], places: Sequence[str], count: int) -> list[MadeSample] | None:
    for place in places:
        if place in arrays:
            return [np.asarray(row) for row in arrays[place][:count]]  # of numbers, rows are no arrays
        if f"{place}/values" not in arrays:
            continue
        values = arrays[f"{place}/values"]
        if f"{place}/lengths" in arrays:
            ends = np.cumsum(arrays[f"{place}/lengths"])
            return np.split(values, ends[:-1])[:count]
        shapes = arrays[f"{place}/shapes"]
        ends = np.cumsum(shapes.prod(axis=1))
        flat = np.split(values, ends[:-1])[:count]
        return [one.reshape(shape) for one, shape in zip(flat, shapes, strict=False)]
    return None
