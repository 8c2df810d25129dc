"""What a worker makes of answers: what they count as, their reduced form, and their score once a label comes."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray
from pydantic_core import from_json

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.finite_outputs import MOST_SHOWN, not_finite, places_read, told_not_finite
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import Outputs, Task

_LENGTH = struct.Struct(">H")


@dataclass(frozen=True)
class BadLabels:
    """Labels that are none: how many, and what is wrong with the first."""

    count: int
    sentence: str


class Scorer:
    """The task of one model version, with what is known of its answers.

    Raises:
        ValueError: there is no such task here, or the spec is none.
    """

    def __init__(self, task: str, spec: Mapping[str, Any], labels: Sequence[str]) -> None:
        self.task: Task[Any] = task_named(task)
        known = Spec.of(spec)
        self.spec = known if known.names else replace(known, names=tuple(labels))
        self._names: dict[int, str] = {}

    def counted(self, outputs: Outputs, signature: Signature, samples: int) -> tuple[list[str], bytes]:
        """What each answer counts as, and all of them reduced.

        Args:
            outputs: as the model gave them.
            signature: of the model.
            samples: how many it was asked.

        Raises:
            ValueError: an answer is not finite, or not of this task.
        """
        answers = self.task.reduce(by_sample(outputs, signature, samples), self.spec)
        categories = [self.task.category(answer, self.spec) for answer in answers]
        return [self._name(category) for category in categories], _packed(answers)

    def places_read(self, count: int) -> tuple[int, ...]:
        """Which of so many outputs the task reads, by place."""
        return places_read(self.task, self.spec, count)

    def _name(self, category: int) -> str:
        if category not in self._names:
            self._names[category] = self.task.category_name(category, self.spec)
        return self._names[category]

    def scores(self, packed: bytes, labels: Sequence[Any]) -> list[float] | BadLabels:
        """How right answers are, each by its label; nothing is scored if a label is none.

        Raises:
            NotScored: a single answer of this task has no score.
            ValueError: not one label for each answer.
        """
        answers = _unpacked(packed)
        if len(labels) != len(answers):
            raise ValueError(f"{len(labels)} labels for an answer of {len(answers)} row{'s' * (len(answers) != 1)}")
        if not self.task.scores_alone:
            raise NotScored(f"a single answer of the task {self.task.name} has no score: its labels are not counted")
        read, wrong = [], []
        for label in labels:
            try:
                read.append(self.task.label(label, self.spec))
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            return BadLabels(len(wrong), wrong[0])
        return [self.task.score(answer, label, self.spec) for answer, label in zip(answers, read, strict=True)]


def not_finite_in(
    arrays: Sequence[NDArray[Any]], places: Sequence[int] = (0,), names: Sequence[str] = ("",)
) -> str | None:
    """Which of the arrays at these places has NaN or infinity, in words; None if none has."""
    place = not_finite(arrays, places)
    return None if place is None else told_not_finite(f"'{names[place][:MOST_SHOWN]}'")


@lru_cache(maxsize=8)
def scorer_of(text: str) -> Scorer:
    """The scorer that JSON describes: `task`, `spec` and `labels`.

    Raises:
        ValueError: as for `Scorer`.
    """
    told = from_json(text)
    return Scorer(told["task"], told["spec"], told["labels"])


def _packed(answers: Sequence[bytes]) -> bytes:
    return b"".join([_LENGTH.pack(len(answer)) + answer for answer in answers])


def _unpacked(packed: bytes) -> list[bytes]:
    answers, at = [], 0
    while at < len(packed):
        begin = at + _LENGTH.size
        (length,) = _LENGTH.unpack_from(packed, at)
        at = begin + length
        answers.append(packed[begin:at])
    if at != len(packed):
        raise MalformedMessage("the kept answers are cut off")
    return answers
