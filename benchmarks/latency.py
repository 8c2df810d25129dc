"""Latency of one ONNX file as a multiple of another's: onnxruntime on one thread, CPU time of that thread."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.result import Result
from benchmarks.timing import Comparison, compare

FASTEST = 0.1
"""The quantile of a round that stands for it: what others do on the machine makes calls slower, never faster."""
MOST_TIMES = 3
"""How often a comparison is taken whose control shows that the machine was not quiet; nothing else is looked at."""

Sample = NDArray[np.float32]
PICTURE: Sample = np.random.default_rng(0).random((1, 1, 28, 28), dtype=np.float32)
"""What the example's model takes."""


def latency_to(
    subject: Path, reference: Path, result: Result, *, x: Sample = PICTURE, rounds: int = 30, calls: int = 60
) -> Comparison:
    """Time both in turns; a comparison that stays void makes the result void."""
    sides = _asked(subject, x), _asked(reference, x)
    for _ in range(MOST_TIMES):
        found = compare(*sides, clock="thread", quantile=FASTEST, rounds=rounds, calls=calls)
        if found.void is None:
            return found
    result.void = result.void or found.void
    return found


def _asked(path: Path, x: Sample) -> Callable[[], object]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    sent = (x * 255).astype(np.uint8) if given.type == "tensor(uint8)" else x
    return partial(session.run, None, {given.name: sent})
