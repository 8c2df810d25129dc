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


def nearness(found: Sequence[FileAnswers], wanted: Sequence[FileAnswers]) -> float:
    """1 for the same answers, of the output that differs most: floats by its spread, others by the share that is equal.

    Raises:
        ValueError: there are other outputs, shapes or types, or a number is not finite.
    """
    worst = 1.0
    for place in range(len(wanted[0])):
        pairs = [(one[place], other[place]) for one, other in zip(found, wanted, strict=True)]
        for one, other in pairs:
            if one.shape != other.shape or one.dtype != other.dtype:
                gives = f"and the file gives {other.dtype} {list(other.shape)}"
                raise ValueError(f"output {place} is {one.dtype} {list(one.shape)}, {gives}")
        worst = min(worst, _near(pairs))
    return worst


def _near(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    if pairs[0][1].dtype.kind != "f":
        return float(np.mean([np.mean(one == other) for one, other in pairs]))
    all_found = np.concatenate([one.reshape(-1).astype(np.float64) for one, _ in pairs])
    all_wanted = np.concatenate([other.reshape(-1).astype(np.float64) for _, other in pairs])
    if not np.isfinite(all_found).all():
        raise ValueError("an answer is not finite")
    spread = float(np.std(all_wanted)) or 1.0
    return max(0.0, 1 - float(np.sqrt(np.mean(np.square(all_found - all_wanted)))) / spread)
