"""A brought model as it will be asked: what running it on some of its samples shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefleet_compression.errors import DataError, GraphError
from edgefleet_compression.judging import Judge
from edgefleet_compression.models.door.opening import OpenedSamples, sampled_part
from edgefleet_compression.models.door.reading import settled, settled_steps
from edgefleet_compression.models.splits.column_checks import check_each_label
from edgefleet_compression.models.splits.network_samples import Preprocessed
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.samples import Column, RawLabels, Split
from edgefleet_contract.card import CARD_FILE, ModelCard
from edgefleet_contract.errors import CardError
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.errors import AnswerNotFinite, TaskError
from edgefleet_tasks.finite_outputs import check_finite
from edgefleet_tasks.guessing import infer
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.step_labels import StepLabels
from edgefleet_tasks.task import UNDECLARED, GuessesLabels, Outputs

ASKED = 16
"""How many samples of val a model is asked before it is known what it does."""


@dataclass(frozen=True)
class TakenModel:
    """What is known of a brought model once it has answered some of its samples.

    Attributes:
        task: what it does.
        signature: what it takes and gives, with the batch axes that were found and the sizes of its state.
        state: what it keeps from one step to the next; None for a model without.
        batches: whether several samples may be asked at once.
        scale: what samples are multiplied by.
        declared: what the card says of its answers.
        spec: what a task makes of the answers to the first samples; all of val say it better.
        answers: to those samples, each output with the samples along its first axis.
        guesses: what was decided without being told, a sentence each.
    """

    task: str
    signature: Signature
    batches: bool
    scale: float
    declared: Spec
    spec: Spec
    answers: Outputs
    guesses: tuple[str, ...]
    state: SequenceState | None = None

    @property
    def visible(self) -> Signature:
        """What applications send and get."""
        return self.state.visible(self.signature) if self.state else self.signature

    @property
    def classes(self) -> int | None:
        """How many classes an answer has a number for; None if it has none."""
        return label_spec(self).classes or None

    @property
    def top_classes(self) -> list[int]:
        """The class with the largest number in each of the answers; none if they are no rows of numbers."""
        rows = self.answers[self.spec.read_from] if self.answers else np.empty(0)
        return [int(top) for top in rows.argmax(1)] if rows.ndim == 2 and rows.size and rows.dtype.kind == "f" else []


def take(session: ModelSession, card: ModelCard, opened: OpenedSamples, val: Split) -> TakenModel:
    """Ask a model some samples: find its batch axes, and what it does.

    Raises:
        CardError, GraphError: it does not run, does not do what its card says, or nothing says what it does.
    """
    known, state, made = session.knowing(opened.signature), card.sequences, opened.made
    some = val.first(ASKED)
    x, scale = some.x, made.plain_scale(sampled_part(opened.signature, state))
    if scale is None:
        assert made.sent is not None  # what else is done to samples
        x, scale = Preprocessed(opened.signature, made.sent).of(x), 1.0
    asked = Asked(x, opened.signature, False, scale, state)
    reading = settled_steps(known, asked) if state else settled(known, asked)
    asked = replace(asked, signature=reading.signature, batches=reading.batches and x.is_dense)
    seen = asked.visible
    try:
        alone = list(_answers(known, asked))
    except AnswerNotFinite as error:  # of the state; all else is seen where it is read
        raise GraphError(f"{error}: a sequence could not go on, repair the model or leave the sample out") from None
    answers = _together(alone)
    declared = card.answers.declared(card.labels, seen)
    try:
        labels = asked.labels(some.y)
    except ValueError as error:
        raise DataError(f"x_val: {error}") from None
    task, why = _task(card, seen, labels, declared, answers)
    spec = _spec(card, task, seen, declared, alone)
    meant = _meant(task, labels, spec, answers)
    guesses = (*reading.guesses, *(one for one in (why, meant) if one is not None))
    return TakenModel(task, reading.signature, reading.batches, scale, declared, spec, answers, guesses, state)


def _answers(session: ModelSession, asked: Asked) -> Iterator[Outputs]:
    """To one sample or step after the other."""
    names, seen = [tensor.name for tensor in asked.signature.outputs], asked.visible
    places = [names.index(tensor.name) for tensor in seen.outputs]
    for _, count, outputs in asked.asks(session.run, names, 1):
        yield by_sample([outputs[place] for place in places], seen, count)


def shapes_of(taken: TakenModel, val: Split) -> dict[str, tuple[int, ...]]:
    """The shape of one sample of each input, or of one step, where all have one."""
    columns = val.x.columns
    if taken.state is None:
        return {name: column.row(0).shape for name, column in columns.items() if column.is_dense}
    batched = {tensor.name: tensor.batched for tensor in taken.signature.inputs}
    first = next(val.x.steps(0, taken.signature))
    alike = {name: column.shapes is None for name, column in columns.items()}
    return {name: x.shape[1:] if batched[name] else x.shape for name, x in first.items() if alike[name]}


def check_labels(taken: TakenModel, name: str, split: Split) -> None:
    """Check each label as the model's task reads it.

    Raises:
        DataError: the first that is none.
    """
    try:
        labels = Asked(split.x, taken.signature, taken.batches, state=taken.state).labels(split.y)
    except ValueError as error:  # sequences without steps
        raise DataError(f"{name.replace('y_', 'x_', 1)}: {error}") from None
    if labels is None:
        return
    spec, task = label_spec(taken), task_named(taken.task)
    check_each_label(name, labels, lambda raw: task.label(raw, spec))


def label_spec(taken: TakenModel) -> Spec:
    """The spec by which labels are read: with the number of classes, where an answer has a number for each."""
    return counted_spec(taken.spec, taken.answers)


def counted_spec(spec: Spec, answers: Outputs) -> Spec:
    """A spec with the number of classes, where an answer has a number for each."""
    values = answers[spec.read_from] if answers else np.empty(0)
    counts = not spec.classes and values.ndim == 2 and values.dtype.kind == "f"
    return replace(spec, width=values.shape[1]) if counts else spec


def _together(alone: Sequence[Outputs]) -> Outputs:
    """Answers to several samples as one answer; only to the first where their shapes differ."""
    alike = all([one.shape for one in outputs] == [one.shape for one in alone[0]] for outputs in alone)
    return [np.concatenate(each) for each in zip(*alone, strict=True)] if alike else alone[0]


def _task(
    card: ModelCard, signature: Signature, labels: RawLabels | StepLabels | None, declared: Spec, answers: Outputs
) -> tuple[str, str | None]:
    """The task, and if it was guessed what spoke for it."""
    if card.task is not None:
        return card.task, None
    column = Column(np.empty(0)) if labels is None else _column(labels)
    ragged = None if labels is None else _lengths(column)
    guess = infer(signature, None if labels is None else column.values, ragged, declared, answers)
    if guess.task is None:
        raise GraphError(_contradiction(signature, declared) or guess.why)
    return guess.task, f"the task is taken to be {guess.task}: {guess.why}"


def _meant(task: str, labels: RawLabels | StepLabels | None, spec: Spec, answers: Outputs) -> str | None:
    """What labels that may mean two things were taken for."""
    found = task_named(task)
    if labels is None or not isinstance(found, GuessesLabels):
        return None
    column = _column(labels)
    return found.guessed_of(column.values, counted_spec(spec, answers)) if column.is_dense else None


def _column(labels: RawLabels | StepLabels) -> Column:
    """One label for each answer that has one."""
    if isinstance(labels, RawLabels):
        return labels.column
    assert isinstance(labels.labels, RawLabels)  # as the data has them
    if not labels.by_step:
        return labels.labels.column
    return Column(np.stack([np.asarray(label) for label in labels]))


def _contradiction(signature: Signature, declared: Spec) -> str | None:
    """What a task that the model would fit says against the card."""
    found = [task_named(name) for name in own_names()]
    fitting = [task for task in found if task.fits(signature, UNDECLARED) is None]
    refusals = [refusal.sentence for task in fitting if (refusal := task.fits(signature, declared)) is not None]
    return refusals[0] if refusals else None


def _lengths(column: Column) -> Any:
    if column.shapes is not None:
        raise DataError("labels of several shapes tell no task: name it with --task, or as `task` in the card")
    return column.lengths


def _spec(card: ModelCard, task: str, signature: Signature, declared: Spec, alone: Sequence[Outputs]) -> Spec:
    try:
        found = task_named(task)
        if (refusal := found.fits(signature, declared)) is not None:
            raise GraphError(refusal.sentence)
        spec = found.spec(signature, alone, declared)
        _reduce_all(Judge(found, spec, tuple(tensor.name for tensor in signature.outputs)), alone)
    except AnswerNotFinite as error:
        raise GraphError(f"{_infinite(signature, alone) or error}") from None
    except (TaskError, ValueError) as error:
        raise GraphError(str(error)) from None
    if card.answers.read_from is not None and spec.read_from != declared.read_from:
        read = signature.outputs[spec.read_from].name
        raise CardError(
            f"{CARD_FILE}, answers.read_from: {task} cannot read '{card.answers.read_from[:60]}', but '{read[:60]}'"
        )
    return spec


def _infinite(signature: Signature, alone: Sequence[Outputs]) -> str | None:
    """Which output has NaN or infinity, where it is not known yet which are read; None if none has."""
    names = [tensor.name for tensor in signature.outputs]
    for row, outputs in enumerate(alone):
        try:
            check_finite(outputs, range(len(names)), names)
        except AnswerNotFinite as error:
            return f"in the answer to sample {row} of val, {error}"
    return None


def _reduce_all(judge: Judge, alone: Sequence[Outputs]) -> None:
    bad = []
    for row, outputs in enumerate(alone):
        try:
            judge.reduced([outputs])
        except ValueError as error:
            bad.append((row, error))
    if bad:
        raise GraphError(
            f"{len(bad)} of the model's answers to the first {len(alone)} samples of val cannot be read, "
            f"the first to sample {bad[0][0]}: {bad[0][1]}"
        )
