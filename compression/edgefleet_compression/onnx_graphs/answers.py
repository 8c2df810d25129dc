"""How close the answers of two ONNX files are on the same samples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import StepError
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.tasks.classification import probabilities

Logits = NDArray[np.float32]

EXACT_DB = 120.0
"""What is said of answers that differ by no more than fp32 rounds."""
CHECKED_SAMPLES = 64
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Nearness:
    """`sqnr_db` is the power of the answers by that of their change; `agreement` the share with the same top-1."""

    sqnr_db: float
    agreement: float

    def as_dict(self) -> dict[str, float]:
        """The figures, for a step's log."""
        return {"sqnr_db": round(self.sqnr_db, 2), "agreement": round(self.agreement, 4)}


HALF = Nearness(-float("inf"), 0.5)
"""The least that can be of any use: top-1 as before for every second sample."""


def nearness(before: Logits, after: Logits) -> Nearness:
    """How close `after` is to `before`, both float32 [N, classes]."""
    exact, changed = before.astype(np.float64), after.astype(np.float64)
    noise = float(np.square(changed - exact).sum())
    signal = float(np.square(exact - exact.mean(0)).sum())
    signal = max(signal, float(np.finfo(np.float32).tiny))
    sqnr = 10 * float(np.log10(signal / max(noise, signal * 10 ** (-EXACT_DB / 10))))
    return Nearness(sqnr, float((before.argmax(1) == after.argmax(1)).mean()))


def check_runs(step: str, before: Path, after: Path, x: Logits, least: Nearness) -> Nearness:
    """Run both files and compare.

    Args:
        step: who asks, for the message.
        before: the file that the step was given.
        after: the file that it made.
        x: float32 [N, ...], as the model takes them.
        least: anything less close, in either figure, is noise.

    Raises:
        StepError: the new file doesn't run, or its answers are noise.
    """
    exact = GraphSession(before).logits(x)
    try:
        changed = GraphSession(after).logits(x)
    except Exception as error:  # a binding's own types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise StepError(f"{step}: onnxruntime cannot run the result ({reason}): drop the step") from None
    if bad := int((~np.isfinite(changed).all(1)).sum()):
        raise StepError(f"{step}: the answer to {bad} of {len(x)} samples is not finite: drop the step")
    near = nearness(exact, changed)
    if near.sqnr_db < least.sqnr_db or near.agreement < least.agreement:
        raise StepError(
            f"{step}: the answers to {len(x)} samples are noise ({near.sqnr_db:.1f} dB from those in fp32, "
            f"{near.agreement:.0%} of top-1 alike): use more bits, or drop the step"
        )
    return near


def log_probabilities(answers: Logits, spec: Spec) -> NDArray[np.float64]:
    """The logarithms of class probabilities, of answers [N, classes] that are meant as the spec says."""
    return np.asarray(np.log(np.maximum(probabilities(answers, spec), LEAST_PROBABILITY)))


def divergence(before: Logits, after: Logits, spec: Spec) -> float:
    """The mean Kullback-Leibler divergence of `after` from `before`, in nats."""
    p, q = log_probabilities(before, spec), log_probabilities(after, spec)
    return max(0.0, float((np.exp(p) * (p - q)).sum(1).mean()))
