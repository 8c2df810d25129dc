"""Samples as a model takes them: what every file that is made of it is asked, too."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.samples import Feed, RawLabels, Samples
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.state import SequenceState
from edgefleet_tasks.finite_outputs import check_finite
from edgefleet_tasks.step_labels import StepLabels

FeedRunner = Callable[[Feed], Sequence[Any]]
"""Asks a session, and gives its values in an order that is known."""


@dataclass(frozen=True)
class Asked:
    """Some samples, and how they are put to a session.

    Attributes:
        samples: as the data file holds them.
        signature: what the model takes and gives.
        batches: whether several may be asked at once.
        scale: what samples are multiplied by, for inputs of real numbers.
        state: which inputs and outputs are state; samples are then sequences, asked step by step.
    """

    samples: Samples
    signature: Signature
    batches: bool
    scale: float = 1.0
    state: SequenceState | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def first(self, count: int) -> "Asked":
        """The first `count` samples; all if `count` is 0 or there are fewer."""
        return replace(self, samples=self.samples.first(count))

    @property
    def visible(self) -> Signature:
        """What the model takes and gives, without its state."""
        return self.state.visible(self.signature) if self.state else self.signature

    @property
    def steps(self) -> NDArray[np.int64]:
        """How many answers there are to each sample, int64 [samples]: one, or one to each step of a sequence."""
        if self.state is None:
            return np.ones(len(self), np.int64)
        return np.array([self.samples.step_count(row, self.signature) for row in range(len(self))], np.int64)

    def labels(self, labels: RawLabels | None) -> RawLabels | StepLabels | None:
        """The labels of these samples, one for each answer."""
        if self.state is None:
            return labels
        steps = self.steps.tolist()  # also without labels: each sample must have some
        return None if labels is None else StepLabels(labels, steps)

    def one(self, row: int = 0) -> Feed:
        """One sample by itself; of a sequence, the first step."""
        if self.state is None:
            return self._as_inputs(self.samples.feed(row, self.signature))
        return {**self._as_inputs(next(self.samples.steps(row, self.signature))), **self._first_state()}

    def asks(self, run: FeedRunner, names: Sequence[str], at_once: int) -> Iterator[tuple[Feed, int, Sequence[Any]]]:
        """Ask all samples: each feed, how many samples or steps it holds, and what was answered.

        Args:
            run: takes a feed and gives values.
            names: of these values; the model's next state must be among them.
            at_once: so many samples at once where that may be.

        Raises:
            AnswerNotFinite: the next state has NaN or infinity: no device goes on with such.
        """
        if self.state is None:
            for feed, count in self.feeds(at_once):
                yield feed, count, run(feed)
            return
        places = {pair.given: list(names).index(pair.gives) for pair in self.state.pairs}
        for row in range(len(self)):
            state = self._first_state()
            for step in self.samples.steps(row, self.signature):
                feed = {**self._as_inputs(step), **state}
                values = run(feed)
                state = {name: np.asarray(values[place]) for name, place in places.items()}
                check_finite([np.asarray(value) for value in values], tuple(places.values()), names)
                yield feed, 1, values

    def feeds(self, at_once: int) -> Iterator[tuple[Feed, int]]:
        """All samples of a model without state, so many at once where that may be, each feed with how many it holds."""
        if self.state:
            raise ValueError("a model with state is asked step by step")
        step = at_once if self.batches else 1
        for start in range(0, len(self), step):
            stop = min(start + step, len(self))
            batch = self.samples.batch(start, stop, self.signature) if self.batches else None
            feed = self.samples.feed(start, self.signature) if batch is None else batch
            yield self._as_inputs(feed), stop - start

    def _first_state(self) -> Feed:
        """Zeros, of the sizes that were found when the model was taken."""
        found = {}
        for tensor in self.state.tensors(self.signature) if self.state else ():
            shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
            found[tensor.name] = np.zeros(shape, np.dtype(BY_NAME[tensor.datatype].numpy))
        return found

    def _as_inputs(self, feed: Feed) -> Feed:
        types = {tensor.name: np.dtype(BY_NAME[tensor.datatype].numpy) for tensor in self.signature.inputs}
        return {name: self._as_input(x, types[name]) for name, x in feed.items()}

    def _as_input(self, x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        if self.scale != 1.0 and dtype.kind == "f":  # only a batch is ever in float
            x = x.astype(np.float32) * np.float32(self.scale)
        return x.astype(dtype, copy=False)
