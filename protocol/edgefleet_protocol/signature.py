"""What a model takes and gives: plain values, light enough for a device's worker."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgefleet_protocol.datatypes import BY_NAME

DATATYPES = frozenset(BY_NAME)
"""Those of the Open Inference Protocol that a numpy array can hold; texts are BYTES."""
FLOATS = frozenset(("FP16", "FP32", "FP64"))
MAX_TENSORS = 256
MAX_RANK = 16
_TENSORS = ("inputs", "outputs")
Axis = int | str | None
"""A size; a name, which stands for the same size wherever it is; or any size."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output by its Open Inference Protocol datatype.

    `batched` says that an axis is the batch, which samples come without; `batch_axis` which one, most often the first.
    Left out, it is guessed: a leading axis of a fixed size other than 1 is part of what one sample is, any other is the
    batch.
    """

    name: str
    datatype: str
    shape: tuple[Axis, ...]
    batched: bool | None = None
    batch_axis: int = 0

    def __post_init__(self) -> None:
        if self.datatype not in DATATYPES:
            raise ValueError(
                f"'{self.name[:60]}' is of '{self.datatype[:60]}': use one of {', '.join(sorted(DATATYPES))}"
            )
        if len(self.shape) > MAX_RANK:
            raise ValueError(f"'{self.name[:60]}' has {len(self.shape)} axes: at most {MAX_RANK}")
        if any(isinstance(axis, int) and axis < 0 for axis in self.shape):
            raise ValueError(f"'{self.name[:60]}' is {self.shown}: a size is 0 or more, and any size is None or a name")
        if self.batched is None:
            first_is = bool(self.shape) and (self.shape[0] == 1 or not _fixed(self.shape[0]))
            object.__setattr__(self, "batched", bool(self.batch_axis) or first_is)
        elif self.batched and not self.shape:
            raise ValueError(f"'{self.name[:60]}' is a single number: it has no axis that could be the batch")
        if not 0 <= self.batch_axis < max(len(self.shape), 1) or (self.batch_axis and not self.batched):
            raise ValueError(f"'{self.name[:60]}' is {self.shown}: axis {self.batch_axis} is no batch of it")

    @property
    def sample_shape(self) -> tuple[Axis, ...]:
        """The shape of one sample: without the batch, if there is one."""
        at = self.batch_axis
        return self.shape[:at] + self.shape[at + 1 :] if self.batched else self.shape

    @property
    def sample_size(self) -> int | None:
        """How many numbers one sample has; None if that may differ."""
        sizes = [axis for axis in self.sample_shape if isinstance(axis, int)]
        return math.prod(sizes) if len(sizes) == len(self.sample_shape) else None

    @property
    def shown(self) -> str:
        """The shape as people read it: `[batch, 3, any]`."""
        return f"[{', '.join('any' if axis is None else str(axis)[:40] for axis in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives; without a batch among its inputs, its outputs have none."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        for what, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            if len(tensors) > MAX_TENSORS:
                raise ValueError(f"a model has {len(tensors)} {what}: at most {MAX_TENSORS}")
            if len({tensor.name for tensor in tensors}) < len(tensors):
                raise ValueError(f"two {what} have one name: each needs a name of its own")
        if self.inputs and not any(tensor.batched for tensor in self.inputs):
            object.__setattr__(
                self, "outputs", tuple(replace(tensor, batched=False, batch_axis=0) for tensor in self.outputs)
            )

    def without_batch(self) -> "Signature":
        """The same model, fed one sample at a time and that whole: what a card's `batch = "none"` says."""
        return Signature(tuple(map(_whole, self.inputs)), self.outputs)

    def output_named(self, name: str) -> int:
        """The place of an output by its name, from 0.

        Raises:
            ValueError: there is none of this name.
        """
        names = [tensor.name for tensor in self.outputs]
        if name not in names:
            raise ValueError(f"there is no output '{name[:60]}': the model has {', '.join(names)[:400] or 'none'}")
        return names.index(name)

    def told(self) -> dict[str, Any]:
        """The signature as plain values; `batch_axis` is left out where it is the first."""
        return {"inputs": [_told(tensor) for tensor in self.inputs], "outputs": [_told(one) for one in self.outputs]}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Signature":
        """The signature of what `told` gave, also by way of JSON.

        Raises:
            ValueError: it is none.
        """
        try:
            inputs, outputs = ([Tensor(**t | {"shape": tuple(t["shape"])}) for t in told[k]] for k in _TENSORS)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no signature: {error}") from None
        return cls(tuple(inputs), tuple(outputs))


def _told(tensor: Tensor) -> dict[str, Any]:
    axis = {"batch_axis": tensor.batch_axis} if tensor.batch_axis else {}
    told = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "batched": tensor.batched}
    return told | axis


def _whole(tensor: Tensor) -> Tensor:
    return replace(tensor, batched=False, batch_axis=0)


def _fixed(axis: Axis) -> bool:
    return isinstance(axis, int)
