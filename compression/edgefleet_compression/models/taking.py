"""A brought model as it will be asked: what its file says, what the samples say, and what running it shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgefleet_compression.errors import DataError, GraphError
from edgefleet_compression.models.column_checks import WantedInput, check_each_label, check_plain_labels
from edgefleet_compression.models.data import SplitFile, sample_headers
from edgefleet_compression.models.network_samples import Preprocessed
from edgefleet_compression.models.parts import PartReader
from edgefleet_compression.models.pictures import BYTE, FLOAT, Composition, composition_of, datatype_of
from edgefleet_compression.models.reading import as_sampled, as_stepped, settled, settled_steps
from edgefleet_compression.models.shown import shown_sample
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.composed import AS_IT_IS
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.sent import SentInput
from edgefleet_compression.samples import Column, RawLabels, Split
from edgefleet_contract.card import CARD_FILE, Input, ModelCard
from edgefleet_contract.errors import CardError
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.errors import TaskError
from edgefleet_tasks.guessing import infer
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.step_labels import StepLabels
from edgefleet_tasks.task import UNDECLARED, Outputs

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
        return [int(top) for top in rows.argmax(1)] if rows.ndim == 2 and rows.dtype.kind == "f" else []


@dataclass(frozen=True)
class OpenedSamples:
    """A model and its samples before anything is run.

    Attributes:
        signature: what the network takes and gives, as far as its file and the samples' headers say.
        made: what its card wants put around it.
        data: the samples as applications send them.
    """

    signature: Signature
    made: Composition
    data: SplitFile


def open_samples(session: ModelSession, card: ModelCard, path: Path) -> OpenedSamples:
    """What a model takes by its file, its card and the headers of its samples; nothing large is read yet.

    Args:
        session: the model.
        card: what its author says of it.
        path: the data file.

    Raises:
        CardError, DataError, GraphError: they contradict one another; one line says how.
    """
    signature, state = session.signature, _state(card, session.signature)
    _check_names(card, _sampled(signature, state))
    if card.batch == "none":
        signature = signature.without_batch()
    headers = sample_headers(path, [tensor.name for tensor in _sampled(signature, state).inputs])
    ranks = {name: header.rank for name, header in headers.items()}
    stepped: frozenset[str] = frozenset()
    if state:
        signature, stepped = as_stepped(signature, state, ranks, card.batch == "none")
    elif card.batch != "none":
        signature = as_sampled(signature, ranks)
    sampled = _sampled(signature, state)
    types = [datatype_of(headers[tensor.name].dtype) for tensor in sampled.inputs if tensor.name in headers]
    made = composition_of(card, sampled, types[0] if types else None)
    if state and (made.plain_scale(sampled) is None or made.given != AS_IT_IS):
        raise CardError(f"{CARD_FILE}: a model with state takes a scale alone: leave out other pre- and postprocessing")
    told = made.signature(sampled)
    _check_shapes(card, told)
    wanted = [_wanted(tensor, told, made) for tensor in told.inputs]
    reader = PartReader([one.by_step() if one.name in stepped else one for one in wanted], False, check_plain_labels)
    return OpenedSamples(signature, made, SplitFile(path, reader))


def _state(card: ModelCard, signature: Signature) -> SequenceState | None:
    state = card.sequences
    try:
        if state:
            state.tensors(signature)
    except ValueError as error:
        raise CardError(f"{CARD_FILE}, state: {error}") from None
    return state


def _sampled(signature: Signature, state: SequenceState | None) -> Signature:
    """What samples are of: all but the state."""
    given = {pair.given for pair in state.pairs} if state else set()
    return Signature(tuple(one for one in signature.inputs if one.name not in given), signature.outputs)


def take(session: ModelSession, card: ModelCard, opened: OpenedSamples, val: Split) -> TakenModel:
    """Ask a model some samples: find its batch axes, and what it does.

    Raises:
        CardError, GraphError: it does not run, does not do what its card says, or nothing says what it does.
    """
    known, state, made = session.knowing(opened.signature), card.sequences, opened.made
    some = val.first(ASKED)
    x, scale = some.x, made.plain_scale(_sampled(opened.signature, state))
    if scale is None:
        assert made.sent is not None  # what else is done to samples
        x, scale = Preprocessed(opened.signature, made.sent).of(x), 1.0
    asked = Asked(x, opened.signature, False, scale, state)
    reading = settled_steps(known, asked) if state else settled(known, asked)
    asked = replace(asked, signature=reading.signature, batches=reading.batches)
    seen, alone = asked.visible, list(_answers(known, asked))
    answers = _together(alone)
    declared = card.answers.declared(card.labels, seen)
    try:
        labels = asked.labels(some.y)
    except ValueError as error:
        raise DataError(f"x_val: {error}") from None
    task, why = _task(card, seen, labels, declared, answers)
    spec = _spec(card, task, seen, declared, alone)
    guesses = (*reading.guesses, *(() if why is None else (why,)))
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
    values = taken.answers[taken.spec.read_from] if taken.answers else np.empty(0)
    counts = not taken.spec.classes and values.ndim == 2 and values.dtype.kind == "f"
    return replace(taken.spec, width=values.shape[1]) if counts else taken.spec


def _wanted(tensor: Tensor, told: Signature, made: Composition) -> WantedInput:
    if len(told.inputs) > 1 or made.sent not in (None, SentInput(tensor.name, BYTE, scale=made.scale)):
        return WantedInput.of(tensor)
    also = ", or float32 with a scale of 1"
    if made.sent is not None:
        return replace(WantedInput.of(tensor), also=also)
    datatypes = (BYTE, FLOAT) if tensor.datatype == FLOAT else (tensor.datatype,)
    return WantedInput(tensor.name, datatypes, tensor.sample_shape, also=also if tensor.datatype == FLOAT else "")


def _check_names(card: ModelCard, signature: Signature) -> None:
    names = [tensor.name for tensor in signature.inputs]
    for one in card.described:
        if one.name not in names:
            what = "the graph" if len(names) == 1 else "the graph's are"
            shown = ", ".join(f"'{name[:60]}'" for name in names) or "none"
            raise CardError(f"{CARD_FILE} names the input '{one.name[:60]}', {what} {shown}: correct input.name")


def _check_shapes(card: ModelCard, signature: Signature) -> None:
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    for one in card.described:
        if one.shape is not None and not _fits(one, tensors[one.name]):
            takes = shown_sample(tensors[one.name])
            raise CardError(
                f"{CARD_FILE} gives samples {list(one.shape)}, the graph takes {takes}: correct input.shape"
            )


def _fits(one: Input, tensor: Tensor) -> bool:
    sizes = tensor.sample_shape
    assert one.shape is not None  # by the caller
    return len(one.shape) == len(sizes) and all(
        size == axis for size, axis in zip(one.shape, sizes, strict=True) if isinstance(axis, int)
    )


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
        _reduce_all(partial(found.reduce, spec=spec), alone)
    except (TaskError, ValueError) as error:
        raise GraphError(str(error)) from None
    if card.answers.read_from is not None and spec.read_from != declared.read_from:
        read = signature.outputs[spec.read_from].name
        raise CardError(
            f"{CARD_FILE}, answers.read_from: {task} cannot read '{card.answers.read_from[:60]}', but '{read[:60]}'"
        )
    return spec


def _reduce_all(reduce: Callable[[Outputs], list[bytes]], alone: Sequence[Outputs]) -> None:
    bad = []
    for row, outputs in enumerate(alone):
        try:
            reduce(outputs)
        except ValueError as error:
            bad.append((row, error))
    if bad:
        raise GraphError(
            f"{len(bad)} of the model's answers to the first {len(alone)} samples of val cannot be read, "
            f"the first to sample {bad[0][0]}: {bad[0][1]}"
        )
