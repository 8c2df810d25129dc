"""A self-test, in the worker: answer the golden set and compare with the recorded answers, a second at a time."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_agent.golden_samples import GoldenSamples
from edgefleet_protocol.answers import unpack_answers
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import PROBABILITIES, Spec
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.registry import task_named

SLICE_S = 1.0
"""How long golden samples are answered before the supervisor hears of it."""


class GoldenRun:
    """One self-test of a loaded model.

    Args:
        session: runs the model.
        signature: what it takes and gives.
        dtypes: of its inputs, in order.
        order: `golden`, the file; `task`, `labels`, `scale`, and `form`: what `recorded` is. It is `reduced` for a blob
            of reduced answers, with `spec`; or `expected` for probabilities as JSON, which version 0.1.0 recorded as
            the softmax of any outputs.
        recorded: the answers to compare with.
    """

    def __init__(
        self,
        session: Any,
        signature: Signature,
        dtypes: tuple[np.dtype[Any], ...],
        order: dict[str, Any],
        recorded: bytes,
    ) -> None:
        self._session, self._signature, self._order, self._recorded = session, signature, order, recorded
        self._refused: str | None = None
        self._samples: GoldenSamples
        self._outputs: list[Sequence[NDArray[Any]]] = []
        try:
            self._task = task_named(order["task"])
            if refusal := self._task.fits(signature, self._spec()):
                self._refused = refusal.sentence
            self._samples = GoldenSamples(Path(order["golden"]), signature, dtypes, order["scale"])
        except ValueError as error:
            self._refused = str(error)

    def go_on(self) -> dict[str, Any]:
        """Answer samples one at a time, as a device does, for about a second.

        Returns `more` while samples are left; then `count`, `finite` and the comparison, or the reason as `refused`.
        """
        if self._refused is None:
            until_s = time.monotonic() + SLICE_S
            while len(self._outputs) < len(self._samples):
                self._outputs.append(self._answer(self._samples.feed(len(self._outputs))))
                if time.monotonic() >= until_s and len(self._outputs) < len(self._samples):
                    return {"more": True}
        try:
            return {"refused": self._refused} if self._refused else self._compared()
        except (ValueError, TypeError, LookupError) as error:
            return {"refused": f"the recorded answers cannot be compared: {error}"}

    def _answer(self, feed: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        return by_sample(self._session.run(None, feed), self._signature, 1)

    def _compared(self) -> dict[str, Any]:
        reply: dict[str, Any] = {"count": len(self._outputs), "finite": True}
        spec = self._spec()
        read = [outputs[spec.read_from] for outputs in self._outputs]
        if not all(array.dtype.kind != "f" or np.isfinite(array).all() for array in read):
            return reply | {"finite": False}
        if self._order["form"] == "expected":
            found, recorded, spec = self._as_expected(np.concatenate(read))
        else:
            found = [answer for outputs in self._outputs for answer in self._task.reduce(outputs, spec)]
            recorded = list(unpack_answers(self._recorded))
        told = self._task.compare(found, recorded, spec)
        return reply | {"agreement": told.agreement, "difference": told.difference, "scaling": told.scaling}

    def _spec(self) -> Spec:
        """What is known of the answers, with the names of classes that a manifest has beside it."""
        spec = Spec.of(self._order.get("spec") or {})
        return spec if spec.names else replace(spec, names=tuple(self._order["labels"]))

    def _as_expected(self, logits: NDArray[Any]) -> tuple[list[bytes], list[bytes], Spec]:
        rows = np.asarray(json.loads(self._recorded), np.float64)
        if rows.shape != logits.shape:
            raise ValueError(f"they are {list(rows.shape)}, the model's {list(logits.shape)}")
        logits = logits.astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        spec = Spec(PROBABILITIES)
        found = self._task.reduce([powers / powers.sum(1, keepdims=True)], spec)
        return found, self._task.reduce([rows], spec), spec
