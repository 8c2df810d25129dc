"""For each task a model's answers, right labels, and a version of the model that was damaged."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import UNDECLARED, Outputs

SAMPLES = 24
Damage = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True)
class World:
    """What a test needs of one task; `labels` are right for all of `outputs`, None where a task has none."""

    task: str
    signature: Signature
    outputs: list[Any]
    labels: list[Any] | None
    damaged: Damage
    nudged: Damage
    declared: Spec = UNDECLARED

    @cached_property
    def spec(self) -> Spec:
        return task_named(self.task).spec(self.signature, [self.outputs], self.declared)

    def reduced(self, outputs: Outputs | None = None, spec: Spec | None = None) -> list[bytes]:
        return task_named(self.task).reduce(self.outputs if outputs is None else outputs, spec or self.spec)


def takes(*outputs: Tensor) -> Signature:
    return Signature((Tensor("x", "FP32", (None, 4)),), outputs)


def each(change: Callable[[Any], Any]) -> Damage:
    """The same change to every output of floats."""
    return lambda outputs: [change(one) if one.dtype.kind == "f" else one for one in outputs]


def noise(share: float) -> Damage:
    return each(lambda one: (one + np.random.default_rng(9).normal(size=one.shape) * share * one.std()).astype("f4"))


def classification() -> World:
    logits = np.random.default_rng(1).normal(size=(SAMPLES, 10)).astype("f4") * 4
    return World(
        "classification", takes(Tensor("y", "FP32", (None, 10))), [logits], logits.argmax(1).tolist(),
        each(lambda one: np.roll(one, 1, axis=1)), noise(0.01),
    )  # fmt: skip


def multilabel() -> World:
    logits = np.random.default_rng(2).normal(size=(SAMPLES, 20)).astype("f4") * 4
    right = [np.flatnonzero(row > 0).tolist() for row in logits]
    return World(
        "multilabel", takes(Tensor("y", "FP32", (None, 20))), [logits], right,
        each(lambda one: np.roll(one, 1, axis=1)), noise(0.002),
    )  # fmt: skip


def regression() -> World:
    numbers = np.random.default_rng(3).normal(size=(SAMPLES, 3)).astype("f4") * np.array([1, 10, 100], "f4")
    return World(
        "regression", takes(Tensor("y", "FP32", (None, 3))), [numbers], list(numbers),
        each(lambda one: one + one.std(0)), noise(0.005),
    )  # fmt: skip


def embedding(width: int = 128) -> World:
    dice = np.random.default_rng(4)
    centres = np.repeat(dice.normal(size=(SAMPLES // 2, width)), 2, axis=0)
    vectors = (centres + 0.1 * dice.normal(size=centres.shape)).astype("f4")
    axes, signs = dice.permutation(width), dice.choice([-1, 1], width)  # a rotation, maybe mirrored
    return World(
        "embedding", takes(Tensor("y", "FP32", (None, width))), [vectors], [n // 2 for n in range(SAMPLES)],
        each(lambda one: one[:, axes] * signs), noise(0.02),
    )  # fmt: skip


BOXES = BoxReading(OutputColumns(0), OutputColumns(1), OutputColumns(2))


def detection(count: int = 6) -> World:
    dice = np.random.default_rng(5)
    low = dice.uniform(0, 500, (SAMPLES, count, 2))
    boxes = np.concatenate([low, low + dice.uniform(30, 120, low.shape)], 2).astype("f4")
    scores = dice.uniform(0.5, 1, (SAMPLES, count)).astype("f4")
    classes = dice.integers(0, 5, (SAMPLES, count))
    right = [
        [[int(k), *map(float, box)] for k, box in zip(*one, strict=True)] for one in zip(classes, boxes, strict=True)
    ]
    outputs = (
        Tensor("boxes", "FP32", (None, count, 4)),
        Tensor("scores", "FP32", (None, count)),
        Tensor("classes", "INT64", (None, count)),
    )

    def shifted(by: float) -> Damage:
        return lambda outputs: [outputs[0] + by * np.tile(outputs[0][..., 2:] - outputs[0][..., :2], 2), *outputs[1:]]

    return World("detection", takes(*outputs), [boxes, scores, classes], right, shifted(0.2), shifted(0.02),
                 Spec(boxes=BOXES))  # fmt: skip


def segmentation(size: int = 64) -> World:
    rows, columns = np.mgrid[:size, :size] / size
    dice = np.random.default_rng(6)
    centres = dice.uniform(0, 1, (SAMPLES, 4, 2))
    near = [[-((rows - y) ** 2 + (columns - x) ** 2) for y, x in one] for one in centres]
    logits = np.array(near, "f4") * 20
    return World(
        "segmentation", takes(Tensor("y", "FP32", (None, 4, None, None))), [logits], list(logits.argmax(1)),
        each(lambda one: np.roll(one, size // 4, axis=3)), noise(0.002),
    )  # fmt: skip


def sequence(length: int = 40, vocabulary: int = 30) -> World:
    tokens = np.random.default_rng(7).integers(0, vocabulary, (SAMPLES, length))

    def swapped(share: float) -> Damage:
        def change(outputs: list[Any]) -> list[Any]:
            changed = outputs[0].copy()
            there = np.random.default_rng(8).uniform(size=changed.shape) < share
            changed[there] = (changed[there] + 1) % vocabulary
            return [changed]

        return change

    return World("sequence", takes(Tensor("y", "INT64", (None, None))), [tokens], tokens.tolist(),
                 swapped(0.3), swapped(0.0))  # fmt: skip


def texts() -> World:
    words = np.array([f"the {n} quick brown foxes" for n in range(SAMPLES)], object)
    return World(
        "sequence", takes(Tensor("y", "BYTES", (None,))), [words], words.tolist(),
        lambda outputs: [np.array([text[::-1] for text in outputs[0]], object)], lambda outputs: outputs,
    )  # fmt: skip


def outputs() -> World:
    dice = np.random.default_rng(10)
    arrays = [dice.normal(size=(SAMPLES, 5, 7)).astype("f4"), dice.normal(size=(SAMPLES,)).astype("f4") * 100]
    return World(
        "outputs", takes(Tensor("a", "FP32", (None, 5, 7)), Tensor("b", "FP32", (None,))), arrays, None,
        each(lambda one: one[::-1]), noise(0.005),
    )  # fmt: skip


WORLDS = [classification, multilabel, regression, embedding, detection, segmentation, sequence, texts, outputs]
