"""What the brought file itself answers, by a plain onnxruntime session, and how near other answers are."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.models.public_model import PublicModel
from benchmarks.models.requests import Ranks, SampleRequest
from edgefleet_compression.judging import Judge
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.task import Task

FileAnswers = Sequence[NDArray[Any]]


class Reference:
    """A session of the brought file that keeps the state of sequences by itself."""

    def __init__(self, path: Path, model: PublicModel) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        pairs = tomllib.loads(model.card).get("state", [])
        state = {pair["input"]: pair["output"] for pair in pairs}
        given = self._session.get_inputs()
        self.ranks = Ranks({one.name: len(one.shape) for one in given if one.name not in state}, state)
        self.outputs = [one.name for one in self._session.get_outputs() if one.name not in state.values()]
        sizes = {one.name: [axis if isinstance(axis, int) else 1 for axis in one.shape] for one in given}
        self._start = {name: np.zeros(sizes[name], np.float32) for name in state}

    def ask(self, requests: Sequence[SampleRequest]) -> list[FileAnswers]:
        """The outputs to each request, without the state."""
        found, state = [], dict(self._start)
        names = [*self.outputs, *self.ranks.state.values()]
        for request in requests:
            if request.first:
                state = dict(self._start)
            outputs = self._session.run(names, {**request.inputs, **state})
            found.append(outputs[: len(self.outputs)])
            state = dict(zip(self.ranks.state, outputs[len(self.outputs) :], strict=True))
        return found


def nearness(
    found: Sequence[FileAnswers], wanted: Sequence[FileAnswers], task: Task[Any], signature: Signature, declared: Spec
) -> float:
    """How far the device answers as the file does, by the task's own agreement: 1 for the same answers.

    Args:
        found: what the device answered to each sample, or step.
        wanted: what the file answers.
        task: the model's.
        signature: what the file gives, without its state.
        declared: what the card says of its answers.

    Raises:
        ValueError: there are other outputs, shapes or types, or a number that the task reads is not finite.
    """
    for one, other in zip(found, wanted, strict=True):
        for place, (ours, theirs) in enumerate(zip(one, other, strict=True)):
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                gives = f"and the file gives {theirs.dtype} {list(theirs.shape)}"
                raise ValueError(f"output {place} is {ours.dtype} {list(ours.shape)}, {gives}")
    ours_by_sample, theirs_by_sample = ([by_sample(one, signature, 1) for one in side] for side in (found, wanted))
    judge = Judge(task, task.spec(signature, theirs_by_sample, declared))
    return judge.agreement(judge.reduced(ours_by_sample), judge.reduced(theirs_by_sample))
