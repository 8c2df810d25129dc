"""A self-test, in the worker: answer the golden set and compare with the recorded answers, a second at a time."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_agent.golden_samples import GoldenSamples, ModelInputs
from edgefleet_agent.stepping import Arrays, SteppedModel
from edgefleet_protocol.answers import unpack_answers
from edgefleet_protocol.spec import PROBABILITIES, Spec
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.errors import AnswerNotFinite
from edgefleet_tasks.finite_outputs import check_finite, places_read
from edgefleet_tasks.registry import task_named

SLICE_S = 1.0
"""How long golden samples are answered before the supervisor hears of it."""


class GoldenRun:
    """One self-test of a loaded model.

    Args:
        model: runs it.
        order: `golden`, the file; `task`, `labels`, `scale`, and `form`: what `recorded` is. It is `reduced` for a blob
            of reduced answers, with `spec`; or `expected` for probabilities as JSON, which version 0.1.0 recorded as
            the softmax of any outputs.
        recorded: the answers to compare with.
    """

    def __init__(self, model: SteppedModel, order: dict[str, Any], recorded: bytes) -> None:
        self._model, self._order, self._recorded = model, order, recorded
        self._refused: str | None = None
        self._left: Iterator[tuple[ModelInputs, bool]] = iter(())
        self._state: Arrays = ()
        self._outputs: list[Sequence[NDArray[Any]]] = []
        try:
            self._task = task_named(order["task"])
            if refusal := self._task.fits(model.signature, self._spec()):
                self._refused = refusal.sentence
            samples = GoldenSamples(Path(order["golden"]), model.signature, order["scale"])
            self._left = samples.steps() if model.keeps_state else ((feed, True) for feed in samples)
        except ValueError as error:
            self._refused = str(error)

    def go_on(self) -> dict[str, Any]:
        """Answer samples one at a time, as a device does, or their steps, for about a second.

        Returns `more` while some are left; then `count` and the comparison, or the reason as `refused`.
        """
        until_s = time.monotonic() + SLICE_S
        try:
            for feed, begins in self._left if self._refused is None else ():
                self._answer(feed, begins)
                if time.monotonic() >= until_s:
                    return {"more": True}
        except ValueError as error:
            self._refused = str(error)
        try:
            return {"refused": self._refused} if self._refused else self._compared()
        except AnswerNotFinite as error:
            return {"refused": f"in an answer to the golden set, {error}"}
        except (ValueError, TypeError, LookupError) as error:
            return {"refused": f"the recorded answers cannot be compared: {error}"}

    def _answer(self, feed: ModelInputs, begins: bool) -> None:
        outputs, self._state = self._model.run(feed, () if begins else self._state)
        self._outputs.append(by_sample(outputs, self._model.signature, 1))
        if told := self._model.not_finite_in(self._state):
            raise ValueError(f"in an answer to the golden set, {told}")

    def _compared(self) -> dict[str, Any]:
        spec = self._spec()
        names = [tensor.name for tensor in self._model.signature.outputs]
        places = places_read(self._task, spec, len(names))
        for outputs in self._outputs:
            check_finite(outputs, places, names)
        if self._order["form"] == "expected":
            read = [outputs[spec.read_from] for outputs in self._outputs]
            found, recorded, spec = self._as_expected(np.concatenate(read))
        else:
            found = [answer for outputs in self._outputs for answer in self._task.reduce(outputs, spec)]
            recorded = list(unpack_answers(self._recorded))
        told = self._task.compare(found, recorded, spec)
        figures = {"agreement": told.agreement, "difference": told.difference, "scaling": told.scaling}
        return {"count": len(self._outputs), **figures}

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
