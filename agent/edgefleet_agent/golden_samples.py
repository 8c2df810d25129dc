"""The samples of a golden set as what a session takes, one at a time, or a step of them. In the worker."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature, Tensor

ModelInputs = dict[str, NDArray[Any]]

ONE = "inputs"
"""The array of a model with one input; those of several are `inputs/0`, `inputs/1`, by the input's place."""
LENGTHS, SHAPES = "lengths", "shapes"
"""With `inputs/0/lengths`, samples of unequal length lie one after the other along the first axis of `inputs/0`; with
`inputs/0/shapes` [samples, rank] it is flat."""


class GoldenSamples:
    """A golden set, read whole.

    Args:
        path: an npz file.
        signature: what applications send to the model.
        scale: what whole numbers are multiplied with, for an input of floats.

    Raises:
        ValueError: the file cannot be read, is empty, or is not of these inputs.
    """

    def __init__(self, path: Path, signature: Signature, scale: float) -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name.split("/")[0] == ONE}
        except Exception as error:  # whatever numpy and zipfile make of a file that is no such archive
            raise ValueError(f"the golden set cannot be read: {type(error).__name__}: {error}") from None
        self._tensors, self._scale = signature.inputs, np.float32(scale)
        self._columns = [_column(arrays, place, len(signature.inputs)) for place in range(len(signature.inputs))]
        counts = {len(column) for column in self._columns}
        if len(counts) != 1:
            raise ValueError(f"the golden set has {sorted(counts)} samples for one input and another")
        if counts == {0} or not all(math.prod(sample.shape) for column in self._columns for sample in column[:1]):
            raise ValueError("the golden set is empty, so nothing would be tested")

    def __iter__(self) -> Iterator[ModelInputs]:
        """Each sample, with a batch axis where the model has one."""
        for row in zip(*self._columns, strict=True):
            yield self._feed(row)

    def steps(self) -> Iterator[tuple[ModelInputs, bool]]:
        """Each step of the samples, which are sequences, and whether it is the first of one.

        An input with one axis more than a sample of it has the steps along the first; one without is the same at each.

        Raises:
            ValueError: a sample's inputs have unequally many steps, or none.
        """
        for place, row in enumerate(zip(*self._columns, strict=True)):
            stepped = [sample.ndim > len(one.sample_shape) for one, sample in zip(self._tensors, row, strict=True)]
            counts = {len(sample) for sample, has in zip(row, stepped, strict=True) if has}
            if len(counts) != 1 or counts == {0}:
                raise ValueError(f"sample {place} of the golden set has {sorted(counts)} steps: each input has as many")
            for step in range(counts.pop()):
                now = [sample[step] if has else sample for sample, has in zip(row, stepped, strict=True)]
                yield self._feed(now), step == 0

    def _feed(self, row: Iterable[NDArray[Any]]) -> ModelInputs:
        return {tensor.name: self._as_input(tensor, sample) for tensor, sample in zip(self._tensors, row, strict=True)}

    def _as_input(self, tensor: Tensor, sample: NDArray[Any]) -> NDArray[Any]:
        dtype = np.dtype(BY_NAME[tensor.datatype].numpy)
        if dtype.kind == "f":
            sample = np.multiply(sample, self._scale, dtype=max(dtype, np.dtype(np.float32)))
        given = np.asarray(sample, dtype)  # a product of single numbers is no array
        return np.expand_dims(given, tensor.batch_axis) if tensor.batched else given


def _column(arrays: Mapping[str, NDArray[Any]], place: int, inputs: int) -> list[NDArray[Any]]:
    """The samples of an input."""
    name = ONE if inputs == 1 and ONE in arrays else f"{ONE}/{place}"
    if name not in arrays:
        raise ValueError(f"the golden set has no array '{name}': it is that of another model")
    values = arrays[name]
    if values.ndim < 1:
        raise ValueError(f"'{name}' of the golden set is a single number: the first axis is the sample")
    shapes, lengths = arrays.get(f"{name}/{SHAPES}"), arrays.get(f"{name}/{LENGTHS}")
    if shapes is not None:
        _check_sizes(f"the shapes of '{name}'", shapes, 2, shapes.prod(axis=-1), values)
        lengths = shapes.prod(axis=1)
    elif lengths is not None:
        _check_sizes(f"the lengths of '{name}'", lengths, 1, lengths, values)
    else:
        return [np.asarray(sample) for sample in values]  # a row of numbers gives numbers
    parts = np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return parts if shapes is None else [part.reshape(tuple(shape)) for part, shape in zip(parts, shapes, strict=True)]


def _check_sizes(what: str, sizes: NDArray[Any], rank: int, counts: NDArray[Any], values: NDArray[Any]) -> None:
    if sizes.ndim != rank or sizes.dtype.kind not in "iu" or (sizes < 0).any() or counts.sum() != len(values):
        raise ValueError(f"{what} do not add up to its {len(values)} rows")
