"""How close the answers of two ONNX files are on the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import StepError
from edgefleet_compression.judging import Judge
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_tasks.errors import AnswerNotFinite
from edgefleet_tasks.finite_outputs import not_finite as first_not_finite
from edgefleet_tasks.finite_outputs import places_read

Logits = NDArray[np.float32]

EXACT_DB = 120.0
"""What is said of answers that differ by no more than fp32 rounds."""
CHECKED_SAMPLES = 64


@dataclass(frozen=True)
class Nearness:
    """`sqnr_db` is the power of the answers by that of their change; `agreement` is the task's, from 0 to 1."""

    sqnr_db: float
    agreement: float

    def as_dict(self) -> dict[str, float]:
        """The figures, for a step's log."""
        return {"sqnr_db": round(self.sqnr_db, 2), "agreement": round(self.agreement, 4)}


HALF = Nearness(-float("inf"), 0.5)
"""The least that can be of any use: every second answer as before."""


def nearness(before: Answered, after: Answered, judge: Judge) -> Nearness:
    """How close `after` is to `before`: the output of real numbers that has changed most, and the task's agreement."""
    exact, changed = (list(zip(*answers, strict=True)) for answers in (before, after))
    found = [_sqnr_db(a, b) for a, b in zip(exact, changed, strict=True)]
    alike = judge.agreement(judge.reduced(before), judge.reduced(after))
    return Nearness(min((db for db in found if db is not None), default=EXACT_DB), alike)


def _sqnr_db(before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> float | None:
    """Of one output of all samples; None if it is not of real numbers, or of other shapes than before."""
    if before[0].dtype.kind != "f" or any(a.shape != b.shape for a, b in zip(before, after, strict=True)):
        return None
    noise = sum(float(np.square(difference(a, b)).sum()) for a, b in zip(before, after, strict=True))
    if noise == float("inf"):
        return -float("inf")
    # What no task reads may be infinite; where it is in both, there is no difference and no signal.
    before = [np.where(np.isfinite(one), one, 0) for one in before]
    if len({one.shape for one in before}) == 1:
        whole = np.concatenate(before).astype(np.float64)
        signal = float(np.square(whole - whole.mean(0)).sum())
    else:
        whole = np.concatenate([one.reshape(-1) for one in before]).astype(np.float64)
        signal = float(np.square(whole - whole.mean()).sum())
    signal = max(signal, float(np.finfo(np.float32).tiny))
    return 10 * float(np.log10(signal / max(noise, signal * 10 ** (-EXACT_DB / 10))))


def difference(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """What changed, float64: nothing where both are NaN, or infinite alike, and infinitely much where one is."""
    with np.errstate(invalid="ignore"):
        found = after.astype(np.float64) - before
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    return np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))


def largest_difference(before: Answered, after: Answered) -> float:
    """The largest change of a real number, by the largest of its output above 1; infinite if anything else differs."""
    found = [0.0]
    for exact, changed in zip(zip(*before, strict=True), zip(*after, strict=True), strict=True):
        pairs = list(zip(exact, changed, strict=True))
        if any(a.shape != b.shape for a, b in pairs):
            return float("inf")
        if exact[0].dtype.kind != "f":
            found += [0.0 if (a == b).all() else float("inf") for a, b in pairs]
            continue
        largest = max(1.0, *(float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in exact))
        found += [float(np.abs(difference(a, b)).max(initial=0)) / largest for a, b in pairs]
    return max(found)


def not_finite(answers: Answered, judge: Judge) -> int:
    """How many samples have an answer with NaN or infinity in an output that the task reads."""
    places = places_read(judge.task, judge.spec, len(answers[0])) if answers else ()
    return sum(first_not_finite(outputs, places) is not None for outputs in answers)


def check_runs(step: str, before: Path, after: Path, asked: Asked, judge: Judge, least: Nearness) -> Nearness:
    """Run both files and compare.

    Args:
        step: who asks, for the message.
        before: the file that the step was given.
        after: the file that it made.
        asked: samples.
        judge: the model's task.
        least: anything less close, in either figure, is noise.

    Raises:
        StepError: the new file doesn't run, or its answers are noise.
    """
    exact = GraphSession(before).answered(asked)
    try:
        changed = GraphSession(after).answered(asked)
    except AnswerNotFinite as error:
        raise StepError(f"{step}: {error}: drop the step") from None
    except Exception as error:  # a binding's own types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise StepError(f"{step}: onnxruntime cannot run the result ({reason}): drop the step") from None
    if bad := not_finite(changed, judge):
        raise StepError(f"{step}: the answer to {bad} of {len(asked)} samples is not finite: drop the step")
    near = nearness(exact, changed, judge)
    if near.sqnr_db < least.sqnr_db or near.agreement < least.agreement:
        raise StepError(
            f"{step}: the answers to {len(asked)} samples are noise ({near.sqnr_db:.1f} dB from those in fp32, "
            f"{near.agreement:.0%} agreement): use more bits, or drop the step"
        )
    return near
