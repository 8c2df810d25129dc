"""Reads outputs and labels, and says in one line what was expected."""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import FLOATS, Axis, Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.errors import AnswerNotFinite
from edgefleet_tasks.task import Outputs

LEVELS = 2**16 - 1
"""Shares travel in 16 bits."""
Numbers = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)


def output_at(outputs: Outputs, place: int) -> NDArray[Any]:
    """One of the outputs.

    Raises:
        ValueError: there is none at that place.
    """
    if place >= len(outputs):
        raise ValueError(f"output {place} is missing: {len(outputs)} outputs were given")
    return np.asarray(outputs[place])


def by_sample(outputs: Outputs, signature: Signature, samples: int) -> list[NDArray[Any]]:
    """A model's outputs as tasks take them, [samples, ...]: a model without a batch answers one sample at a time.

    Raises:
        ValueError: an output has another number of rows than there are samples.
    """
    arranged = []
    for tensor, output in zip(signature.outputs, outputs, strict=True):
        values = np.asarray(output)
        if tensor.batched and values.ndim > tensor.batch_axis:
            values = np.moveaxis(values, tensor.batch_axis, 0)
        if samples == 1 and (not tensor.batched or values.ndim < 1 or len(values) != 1):
            values = values[None]
        if values.ndim < 1 or len(values) != samples:
            raise ValueError(
                f"'{tensor.name[:60]}' has shape {list(values.shape)} for {samples} samples: "
                'ask for one at a time, with batch = "none" in the card'
            )
        arranged.append(values)
    return arranged


def row_axis(tensor: Tensor) -> Axis:
    """How many numbers each sample is a row of, without axes of size 1; 0 if it is more than a row."""
    axes = [axis for axis in tensor.sample_shape if axis != 1]
    return 1 if not axes else axes[0] if len(axes) == 1 else 0


def has_rows(tensor: Tensor) -> bool:
    """Whether each sample is a row of two numbers or more, as far as is known."""
    axis = row_axis(tensor)
    return not isinstance(axis, int) or axis > 1


def rows_in(values: NDArray[Any], least: int = 2) -> NDArray[Any] | None:
    """An output [samples, ...] as [samples, numbers], without axes of size 1.

    None if a sample is more than a row, or one of fewer than `least` numbers.
    """
    if values.ndim != 2:
        axes = [size for size in values.shape[1:] if size != 1]
        if len(axes) > 1 or not values.ndim:
            return None
        values = values.reshape(len(values), axes[0] if axes else 1)
    return values if values.shape[1] >= least else None


def is_finite(values: NDArray[Any]) -> bool:
    """Whether there is no NaN and no infinity."""
    # They make the sum so, too, at a third of the price; large finite values may overflow it. A product of vectors
    # would be quicker still, but from 10,000 numbers on it wakes threads, which takes milliseconds on a busy machine.
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(values.sum()) or bool(np.isfinite(values).all())


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """The same values.

    Raises:
        AnswerNotFinite: one is NaN or infinite.
        ValueError: they are no numbers.
    """
    if values.dtype.kind not in "fiub":
        raise ValueError(f"an answer is of {values.dtype}: numbers were expected")
    if not is_finite(values):
        raise AnswerNotFinite("an answer is not finite")
    return values


def clipped(values: NDArray[Any]) -> NDArray[np.float32]:
    """As float32, where what is larger becomes the largest."""
    return np.clip(values.astype(np.float64), -_LARGEST, _LARGEST).astype("<f4")


def shown(raw: Any) -> str:
    """A value that a message may quote."""
    if isinstance(raw, np.ndarray):
        return f"{raw.dtype} {list(raw.shape)}"
    try:
        text = " ".join(repr(raw).split())
    except ValueError:  # Python shows no whole number of thousands of digits
        return "a number that is far too large"
    return text if len(text) <= 60 else f"{text[:57]}..."


class ListedRow(np.ndarray[Any, np.dtype[Any]]):
    """A label of a column whose rows differ in length: a list of so many entries, and never one for each class."""


MOST_DIGITS = 9


def class_of(raw: Any, spec: Spec) -> int:
    """A class by its number or name.

    Raises:
        ValueError: it is none of the model's.
    """
    if isinstance(raw, str | np.str_) and raw in spec.names:
        return spec.names.index(str(raw))
    digits = isinstance(raw, str | np.str_) and raw.isascii() and raw.isdecimal() and len(raw) <= MOST_DIGITS
    whole = digits or (isinstance(raw, int | np.integer) and not isinstance(raw, bool))
    if not whole or not 0 <= int(raw) < (spec.classes or 2**31):
        upper = f" to {spec.classes - 1}" if spec.classes else " on"
        named = f", or one of {', '.join(spec.names)[:200]}" if spec.names else ""
        raise ValueError(f"a class is a whole number from 0{upper}{named}; not {shown(raw)}")
    return int(raw)


def numbers_in(raw: Any, what: str) -> Numbers:
    """A label that is of numbers, as float64 of its own shape.

    Raises:
        ValueError: it is missing, ragged, no numbers or not finite.
    """
    try:
        values = np.asarray(raw)
    except ValueError:
        raise ValueError(f"{what} has rows of different lengths: give each as many numbers") from None
    if values.dtype.kind not in "fiu" and values.size:
        raise ValueError(f"{what} is of numbers; not {shown(raw)}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{what} has NaN or infinity: leave the sample out")
    return values


def whole_numbers_in(raw: Any, what: str) -> NDArray[np.int64]:
    """A label that is of whole numbers, as int64 of its own shape.

    Raises:
        ValueError: it is missing, ragged or not of whole numbers.
    """
    values = numbers_in(raw, what)
    if (values != np.rint(values)).any() or np.abs(values).max(initial=0) > 2**53:
        raise ValueError(f"{what} is of whole numbers; not {shown(raw)}")
    return values.astype(np.int64)


def floats_first(signature: Signature) -> list[tuple[int, Tensor]]:
    """The outputs that hold numbers, by place; those of floats come first."""
    places = [(n, one) for n, one in enumerate(signature.outputs) if one.datatype not in ("BYTES", "BOOL")]
    return sorted(places, key=lambda place: place[1].datatype not in FLOATS)


def head(layout: struct.Struct, answer: bytes, version: int, task: str) -> tuple[Any, ...]:
    """What a reduced answer begins with, after its version.

    Raises:
        MalformedMessage: the bytes are too few, or of another version.
    """
    if len(answer) < layout.size:
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of {task}")
    found = layout.unpack_from(answer)
    if found[0] != version:
        raise MalformedMessage(
            f"version {found[0]} of a reduced answer of {task} is unknown: this side knows {version}"
        )
    return found[1:]
