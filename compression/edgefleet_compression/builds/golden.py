"""A variant's golden set, the first samples of val, and what the variant answers to them here, one at a time."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.builds.messages import RecordedAnswers
from edgefleet_compression.errors import MeasureError
from edgefleet_compression.measuring.host import host
from edgefleet_compression.models.data import GOLDEN_LEAST
from edgefleet_compression.models.samples import ArraySplit
from edgefleet_compression.models.source import Source
from edgefleet_compression.onnx_graphs.session import PROVIDER, GraphSession
from edgefleet_contract.variants import GoldenSize
from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES
from edgefleet_tasks.registry import task_named

SMALL_BYTES = 16 * 1024
SHARE_OF_ENCODING = 10
MAX_GOLDEN_BYTES_0_1 = 2**20
"""What agents of 0.1.0 take; they find the answers in the manifest, which has a limit of its own."""

Rows = tuple[tuple[float, ...], ...]


def record(path: Path, source: Source, runtime: Mapping[str, str], encoding_bytes: int) -> RecordedAnswers:
    """Record a variant's answers to as many golden samples as its size allows, and never to fewer than four.

    Args:
        path: the variant's file.
        source: the model it was made from, with the splits.
        runtime: session options that the device will use.
        encoding_bytes: of the variant; set and answers may take a tenth of it, or 16 KB if that is more.

    Raises:
        MeasureError: an answer is not finite.
    """
    val, wanted = source.data.split("val"), source.card.golden.samples
    samples = val.first(max(wanted, GOLDEN_LEAST))
    task, spec = task_named(source.card.task), source.spec
    logits = GraphSession(path, runtime).answers(samples.x, source.card.preprocessing.scale, batch=1)
    try:
        answers = task.reduce([logits], spec)
    except ValueError as error:
        raise MeasureError(f"the variant's answers to the golden set: {error}: correct the recipe") from None
    budget_bytes = max(encoding_bytes // SHARE_OF_ENCODING, SMALL_BYTES)
    count = _largest(samples, answers, budget_bytes)
    golden, packed = _set(samples, count), pack_answers(answers[:count])
    rows = _expected(logits[:count].astype(np.float64))
    small = len(golden) <= MAX_GOLDEN_BYTES_0_1 and len(json.dumps(rows)) <= MAX_MANIFEST_BYTES
    return RecordedAnswers(
        golden=golden,
        answers=packed,
        spec=spec,
        size=GoldenSize(
            samples=count,
            wanted=wanted,
            held=len(val.x),
            size_bytes=len(golden) + len(packed),
            budget_bytes=budget_bytes,
        ),
        probabilities=rows if small else None,
        instruction_set=host().instruction_set,
        provider=PROVIDER,
    )


def _largest(samples: ArraySplit, answers: list[bytes], budget_bytes: int) -> int:
    """How many samples fit with their answers, the least that there must be if fewer do."""
    least, most = min(GOLDEN_LEAST, len(answers)), len(answers)
    while least < most:
        middle = (least + most + 1) // 2
        if len(_set(samples, middle)) + len(pack_answers(answers[:middle])) <= budget_bytes:
            least = middle
        else:
            most = middle - 1
    return least


def _set(samples: ArraySplit, count: int) -> bytes:
    """The golden set as an npz; the same samples give the same bytes."""
    first, buffer = samples.first(count), io.BytesIO()
    if first.y is None:
        np.savez_compressed(buffer, inputs=first.x)
    else:
        np.savez_compressed(buffer, inputs=first.x, labels=first.y)
    return buffer.getvalue()


def _expected(logits: NDArray[np.float64]) -> Rows:
    """The answers as version 0.1.0 compares them, the softmax of whatever the model gives."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    return tuple(map(tuple, probabilities.round(_digits(probabilities)).tolist()))


def _digits(probabilities: NDArray[np.float64]) -> int:
    """How many decimals keep every top-1; a thousand classes lie close together."""
    top1 = probabilities.argmax(1)
    return next((d for d in range(4, 7) if (probabilities.round(d).argmax(1) == top1).all()), 7)
