"""Which layers of an 8-bit file stay in float: those that cost most, and as few as a target on val needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgefleet_compression.errors import StepError
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.graph import saved
from edgefleet_compression.onnx_graphs.losses import loss_between
from edgefleet_compression.onnx_graphs.multiplications import multiplications
from edgefleet_compression.onnx_graphs.qdq import in_float
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.step import Context
from edgefleet_tasks.intervals import Z_95

SENSITIVITY_SAMPLES = 64


@dataclass(frozen=True)
class Loss:
    """What a file loses on val, as a share of its samples, and the standard error of that."""

    drop: float
    error: float

    def within(self, max_drop: float) -> bool:
        """Whether it is allowed with one standard error to spare: of files that are tried the luckiest is taken."""
        return self.drop + self.error <= max_drop


class FileLoss:
    """What a file loses on val against the float file: its score; without labels the headline figure with the float
    file's answers as the truth, where the task has one, else agreement.
    """

    def __init__(self, path: Path, context: Context) -> None:
        self._asked, self._judge = context.source.asked("val"), context.source.judge
        self._labels = context.source.labels("val")
        self._before = self._answers(path)
        self._right = self._judge.scores(self._before, self._labels)

    def loss(self, path: Path) -> Loss:
        """The loss, with its error."""
        answers = self._answers(path)
        if self._right is None and (found := self._judge.headline_by(self._before, answers)) is not None:
            return Loss(1 - found.value, (found.high - found.low) / (2 * Z_95))
        if self._right is None:
            lost = 1 - self._judge.agreements(self._before, answers)
        else:
            scores = self._judge.scores(answers, self._labels)
            assert scores is not None  # as before
            lost = self._right - scores
        return Loss(float(lost.mean()), float(lost.std() / np.sqrt(len(lost))))

    def _answers(self, path: Path) -> list[bytes]:
        return self._judge.reduced(GraphSession(path).answered(self._asked))


def by_cost(
    source: onnx.ModelProto, quantized: onnx.ModelProto, layers: Sequence[str], asked: Asked, context: Context
) -> list[str]:
    """The layers, first the one that is best kept in float: by what its rounding alone changes the numbers of the
    answers, for each of its multiplications, which float makes slower.
    """
    path = context.folder / "isolated.onnx"
    whole, spec = GraphSession(saved(source, path)).answered(asked), context.source.spec
    work = multiplications(source, layers, asked.one())
    costs: dict[str, float] = {}
    every = {node.name for node in source.graph.node}  # what is rounded between layers would drown each of them
    for number, layer in enumerate(layers):
        context.progress(0.1 + 0.5 * number / len(layers), f"layer {number + 1} of {len(layers)} alone in 8 bits")
        alone = in_float(quantized, source, every - {layer})
        answers = GraphSession(saved(alone, path)).answered(asked)
        costs[layer] = loss_between("scaled_error", whole, answers, spec) / work[layer]
    return sorted(layers, key=lambda layer: -costs[layer])


def fewest(
    source: onnx.ModelProto,
    quantized: onnx.ModelProto,
    worst: Sequence[str],
    most: int,
    max_drop: float,
    target: FileLoss,
    context: Context,
) -> tuple[int, Loss]:
    """How many of the worst layers must stay in float, and what is lost then.

    First twice as many each time, then by halving: val is noisy, and a few layers too many cost more than a look at a
    few that turn out to be too few.
    """
    path = context.folder / "tried.onnx"

    def loss_with(count: int) -> Loss:
        context.progress(0.6, f"{count} layers in float")
        return target.loss(saved(in_float(quantized, source, worst[:count]), path))

    low, high = 0, min(1, most)
    while not (reached := loss_with(high)).within(max_drop):
        if high == most:
            raise StepError(
                f"accuracy_int8: with {most} of {len(worst)} layers in float the loss is still "
                f"{reached.drop * 100:.2f} points (± {reached.error * 100:.2f}), and {max_drop * 100:.2f} are allowed: "
                "raise max_drop or most_float"
            )
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        loss = loss_with(middle)
        if loss.within(max_drop):
            high, reached = middle, loss
        else:
            low = middle
    return high, reached
