"""Which task a model does, as far as its signature, its labels and some answers tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.signature import FLOATS, Signature
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import row_axis
from edgefleet_tasks.intervals import wilson
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.task import UNDECLARED, Outputs
from edgefleet_tasks.tasks.classification import are_probabilities

ASK = "name one with --task, or as `task` in the card"


@dataclass(frozen=True, slots=True)
class TaskGuess:
    """A task and what speaks for it; None if nothing does, and what to do."""

    task: str | None
    why: str


def infer(
    signature: Signature,
    labels: NDArray[Any] | None,
    lengths: NDArray[Any] | None = None,
    declared: Spec = UNDECLARED,
    answers: Outputs | None = None,
) -> TaskGuess:
    """Guess a model's task.

    Args:
        signature: of the model.
        labels: of one split, [samples, ...]; with `lengths` [samples] the rows of all samples, one after the other.
            None without any.
        lengths: how many rows each sample has; None if all have one.
        declared: what the card says of its answers: names of classes, or which outputs hold boxes.
        answers: its outputs to the first of these samples, each [samples, ...]; None if it was not run.
    """
    fitting = [name for name in own_names() if task_named(name).fits(signature, declared) is None]
    if declared.boxes is not None:
        return TaskGuess("detection", "the card says which outputs hold boxes")
    if labels is None:
        guess = _without_labels(signature, fitting, declared, answers)
    elif lengths is not None:
        guess = _of_ragged(labels, fitting)
    else:
        guess = _of_labels(signature, labels, fitting, declared, answers)
    if guess is not None:
        return guess
    shown = "none" if labels is None else f"{labels.dtype} {list(labels.shape)}"
    answered = ", ".join(tensor.shown for tensor in signature.outputs) or "nothing"
    could = ", ".join(fitting)
    return TaskGuess(None, f"the model answers {answered} and its labels are {shown}, which may be {could}: {ASK}")


def _of_ragged(labels: NDArray[Any], fitting: Sequence[str]) -> TaskGuess | None:
    if labels.ndim == 2 and labels.shape[1] == 5:
        return TaskGuess(None, "its labels are boxes, but nothing says which outputs hold boxes: map them in the card")
    if labels.ndim == 1 and labels.dtype.kind in "iu" and "sequence" in fitting:
        return TaskGuess("sequence", "its labels are whole numbers, in sequences of different lengths")
    if labels.ndim == 1 and labels.dtype.kind in "iu" and "multilabel" in fitting:
        return TaskGuess("multilabel", "its labels are lists of classes, and it answers a number for each class")
    return None


def _without_labels(
    signature: Signature, fitting: Sequence[str], declared: Spec, answers: Outputs | None
) -> TaskGuess | None:
    if "classification" in fitting:
        width = _width(signature, "classification")
        if declared.names and width in (None, len(declared.names)):
            return TaskGuess("classification", f"it answers a number for each of {len(declared.names)} named classes")
        if answers is not None and any(one.ndim == 2 and _are_shares(one) for one in answers):
            return TaskGuess("classification", "its answers are probabilities that sum to 1")
    if any(tensor.datatype == "BYTES" for tensor in signature.outputs) and fitting == ["outputs", "sequence"]:
        return TaskGuess("sequence", "it answers texts")
    if fitting == ["outputs"]:
        return TaskGuess("outputs", "no other task fits what it answers")
    return None


def _of_labels(
    signature: Signature, labels: NDArray[Any], fitting: Sequence[str], declared: Spec, answers: Outputs | None
) -> TaskGuess | None:
    values = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    kind = values.dtype.kind
    if values.ndim == 1 and kind in "iu":
        return _of_whole_numbers(signature, values, fitting, answers)
    if values.ndim == 1 and kind in "US":
        if declared.names and set(values.astype(str).tolist()) <= set(declared.names) and "classification" in fitting:
            return TaskGuess("classification", "its labels are names of classes")
        texts = "sequence" in fitting and any(tensor.datatype == "BYTES" for tensor in signature.outputs)
        return TaskGuess("sequence", "it answers texts, and so are its labels") if texts else None
    if values.ndim == 2 and _is_multi_hot(values) and _width(signature, "multilabel") in (None, values.shape[1]):
        return _of_multi_hot(values, fitting, answers)
    if values.ndim == 2 and kind in "iu" and "sequence" in fitting:
        return TaskGuess("sequence", "it answers tokens, and its labels are rows of whole numbers")
    if values.ndim in (3, 4) and kind in "iub" and "segmentation" in fitting:
        return TaskGuess("segmentation", "its labels are a whole number for each pixel")
    numbers = int(np.prod(values.shape[1:]))
    if kind == "f" and "regression" in fitting and _numbers(signature) in (None, numbers):
        return TaskGuess(
            "regression", f"its labels are {numbers} float{'s' * (numbers != 1)} a sample, as many as it answers"
        )
    return None


def _of_whole_numbers(
    signature: Signature, values: NDArray[Any], fitting: Sequence[str], answers: Outputs | None
) -> TaskGuess | None:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0:
        return None
    if "classification" in fitting:
        width = _width(signature, "classification")
        if width == high + 1 or ((width is None or high < width) and not _is_chance(values, answers)):
            return TaskGuess("classification", f"its labels are classes up to {high}, and it answers a number for each")
        if "embedding" in fitting and len(np.unique(values)) < len(values):
            return TaskGuess("embedding", "its labels are whole numbers, and what it answers is none of a class")
    elif _numbers(signature) == 1 and high <= 1 and "multilabel" in fitting:
        return TaskGuess("multilabel", "its labels are 0 and 1, and it answers one number: one class, there or not")
    elif _numbers(signature) == 1 and "regression" in fitting:
        return TaskGuess("regression", "its labels are numbers, and it answers one")
    return None


def _is_chance(values: NDArray[Any], answers: Outputs | None) -> bool:
    """Whether the largest answers are the labels no more often than by chance."""
    rows = next((one for one in answers or () if one.ndim == 2 and one.dtype.kind == "f" and one.shape[1] > 1), None)
    if rows is None or not len(rows):
        return False
    hits = int((rows.argmax(1) == values[: len(rows)]).sum())
    return bool(wilson(hits, len(rows)).low <= 1 / rows.shape[1])


def _of_multi_hot(values: NDArray[Any], fitting: Sequence[str], answers: Outputs | None) -> TaskGuess | None:
    one_hot = bool((values.sum(1) == 1).all())
    shares = answers is not None and any(one.ndim == 2 and _are_shares(one) for one in answers)
    if one_hot and (shares or answers is None) and values.shape[1] > 1:
        told = (
            "each label has a single 1: give the class's number for classification, or say that the task is multilabel"
        )
        return TaskGuess(None, told)
    if "multilabel" in fitting:
        return TaskGuess("multilabel", f"its labels are 0 and 1 for each of {values.shape[1]} classes")
    return None


def _is_multi_hot(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))


def _are_shares(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and values.shape[1] > 1 and len(values) > 0 and are_probabilities(values)


def _width(signature: Signature, task: str) -> int | None:
    """How many classes the first output has that the task can read; None if that may differ."""
    for tensor in sorted(signature.outputs, key=lambda tensor: tensor.datatype not in FLOATS):
        alone = Signature((), (tensor,))
        if task_named(task).fits(alone, UNDECLARED) is None:
            size = row_axis(tensor)
            return size if isinstance(size, int) else None
    return None


def _numbers(signature: Signature) -> int | None:
    """How many numbers the first output of floats has for a sample; None if that may differ."""
    floats = [tensor for tensor in signature.outputs if tensor.datatype in FLOATS]
    return floats[0].sample_size if floats else None
