"""A variant's golden set, the first samples of val, and what the variant answers to them here, one at a time."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.builds.messages import RecordedAnswers
from edgefleet_compression.errors import MeasureError
from edgefleet_compression.measuring.host import host
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.splits.data import GOLDEN_LEAST
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.samples import Samples, Split
from edgefleet_contract.variants import GoldenSize
from edgefleet_protocol.answers import pack_answers
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES

SMALL_BYTES = 16 * 1024
SHARE_OF_ENCODING = 10
LEAST_BYTES = 256 * 1024
"""What four samples may take, however small the variant is; of larger ones there are fewer."""
MOST_ANSWERS = 1024
"""As many as a card may ask for."""
MAX_GOLDEN_BYTES_0_1 = 2**20
"""What agents of 0.1.0 take; they find the answers in the manifest, which has a limit of its own."""

Rows = tuple[tuple[float, ...], ...]


def record(path: Path, source: Source, runtime: Mapping[str, str], encoding_bytes: int) -> RecordedAnswers:
    """Record a variant's answers to as many golden samples as its size allows.

    There are four answers at least, unless four samples take more than `LEAST_BYTES`, and one sample whatever it takes.
    Samples that are sequences are taken whole, and no more than have 1,024 steps together, unless the first has.

    Args:
        path: the variant's file.
        source: the model it was made from, with the splits.
        runtime: session options that the device will use.
        encoding_bytes: of the variant; set and answers may take a tenth of it, or 16 KB if that is more.

    Raises:
        MeasureError: an answer is not finite.
    """
    val, wanted = source.data.read("val"), source.card.golden.samples
    samples = val.first(max(wanted, GOLDEN_LEAST))
    asked = replace(source.asked("val", len(samples)), batches=False)  # devices are asked one at a time
    session = GraphSession(path, runtime)
    try:
        answered = session.answered(asked)
        answers = source.judge.reduced(answered)
    except ValueError as error:
        raise MeasureError(f"the variant's answers to the golden set: {error}: correct the recipe") from None
    budget_bytes = max(encoding_bytes // SHARE_OF_ENCODING, SMALL_BYTES)
    ends = np.cumsum(asked.steps)
    count = _largest(samples, answers, ends, budget_bytes)
    golden, packed = _set(samples, count), pack_answers(answers[: ends[count - 1]])
    told = asked.state is None and len(golden) <= MAX_GOLDEN_BYTES_0_1
    rows = _expected(answered[:count], source) if told else None
    small = rows is not None and len(json.dumps(rows)) <= MAX_MANIFEST_BYTES
    return RecordedAnswers(
        golden=golden,
        answers=packed,
        spec=replace(source.spec, names=()),  # the manifest has them as labels
        size=GoldenSize(
            samples=count,
            wanted=wanted,
            held=len(val),
            size_bytes=len(golden) + len(packed),
            budget_bytes=budget_bytes,
        ),
        probabilities=rows if small else None,
        instruction_set=host().instruction_set,
        provider=session.provider,
    )


def _largest(samples: Split, answers: list[bytes], ends: NDArray[np.int64], budget_bytes: int) -> int:
    """How many samples fit with their answers, as many as have the least answers that there should be if fewer do.

    Args:
        samples: those that are wanted.
        answers: to all of them.
        ends: how many answers there are up to each sample, int64 [samples].
        budget_bytes: what the set may take.
    """
    most = max(1, int((ends <= MOST_ANSWERS).sum()))
    least = min(int(np.searchsorted(ends, GOLDEN_LEAST)) + 1, most)  # one sequence may have answers enough

    def fits(count: int, budget: int) -> bool:
        return len(_set(samples, count)) + len(pack_answers(answers[: ends[count - 1]])) <= budget

    if not fits(least, max(budget_bytes, LEAST_BYTES)):
        return _most(1, least - 1, lambda count: fits(count, LEAST_BYTES))
    return _most(least, most, lambda count: fits(count, budget_bytes))


def _most(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest that fits, `least` if none does; what is smaller than one that fits does, too."""
    while least < most:
        middle = (least + most + 1) // 2
        if fits(middle):
            least = middle
        else:
            most = middle - 1
    return max(least, 1)


def _set(samples: Split, count: int) -> bytes:
    """The golden set as an npz; the same samples give the same bytes."""
    first, buffer = samples.first(count), io.BytesIO()
    arrays: dict[str, Any] = {**_arrays(first.x), **_labels(first)}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _arrays(x: Samples) -> dict[str, NDArray[Any]]:
    """One array, or one by each input's place: names may hold what a file's may not."""
    columns = list(x.columns.values())
    if len(columns) == 1 and columns[0].is_dense:
        return {"inputs": columns[0].values}
    arrays: dict[str, NDArray[Any]] = {}
    for place, column in enumerate(columns):
        parts = {"": column.values, "/lengths": column.lengths, "/shapes": column.shapes}
        arrays |= {f"inputs/{place}{end}": part for end, part in parts.items() if part is not None}
    return arrays


def _labels(first: Split) -> dict[str, NDArray[Any]]:
    """Classes, which agents of 0.1.0 find there."""
    whole = first.y is not None and first.y.column.is_dense and first.y.column.values.ndim == 1
    values = first.y.column.values if first.y is not None and whole else None
    return {"labels": values.astype(np.int64, copy=False)} if values is not None and values.dtype.kind in "iu" else {}


def _expected(answered: Answered, source: Source) -> Rows | None:
    """A classifier's answers as version 0.1.0 compares them, the softmax of whatever it gives; None of another task."""
    if source.task != FIRST_TASK:
        return None
    logits = np.concatenate([outputs[source.spec.read_from] for outputs in answered]).astype(np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    return tuple(map(tuple, probabilities.round(_digits(probabilities)).tolist()))


def _digits(probabilities: NDArray[np.float64]) -> int:
    """How many decimals keep every top-1; a thousand classes lie close together."""
    top1 = probabilities.argmax(1)
    return next((d for d in range(4, 7) if (probabilities.round(d).argmax(1) == top1).all()), 7)
