"""An onnxruntime session on one thread, as a device runs it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.opening import open_graph
from edgefleet_compression.samples import Feed
from edgefleet_process.reading import read_blocks
from edgefleet_protocol import runtime_options
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.task import Outputs

BATCH = 250
PROVIDER = "CPUExecutionProvider"
DYNAMIC = b"DynamicQuantize"
"""How the names of the operators begin that take a range over their whole input, as they stand in a file."""


Answered = Sequence[Outputs]
"""One for each sample, or for each step of one that is a sequence: every output as [1, ...], with the batch axis first
where the model has one elsewhere."""


def inputs(x: NDArray[np.uint8] | NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Samples uint8 or float32 as the model's input."""
    return x.astype(np.float32) * np.float32(scale)  # a product with 1 is exact


class GraphSession:
    """One input float32 or uint8, one output, any batch; one sample at a time where the graph or its answers ask it.

    A range that is taken as the graph runs is taken over the whole batch: devices are asked for one sample, and the
    answers to many at once would be other ones.
    """

    def __init__(self, path: Path, runtime: Mapping[str, str] | None = None) -> None:
        """Load an ONNX file.

        Args:
            path: the file.
            runtime: session configuration entries, those of the variant's `runtime` block.

        Raises:
            RecipeError: no device would take these entries.
        """
        if told := runtime_options.refusal(runtime or {}):
            raise RecipeError(told)
        self._session, self.provider = open_graph(path, runtime)
        given = self._session.get_inputs()[0]
        self._path = path
        self._input = given.name
        self._batch = given.shape[0] if given.shape and isinstance(given.shape[0], int) else None
        if self._batch is None and _names_dynamic(path):
            self._batch = 1
        self._fits: int | None = None
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if given.type == "tensor(uint8)" else np.float32)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits [N, classes] of one batch [N, ...]."""
        return np.asarray(self._session.run(None, {self._input: x.astype(self.dtype, copy=False)})[0], np.float32)

    def logits(self, x: NDArray[np.float32], batch: int | None = None) -> NDArray[np.float32]:
        """The logits [N, classes] of any number of inputs [N, ...], in batches of so many, or of as many as fit."""
        return self.answers(x, 1.0, batch)

    def answers(
        self, samples: NDArray[np.uint8] | NDArray[np.float32], scale: float, batch: int | None = None
    ) -> NDArray[np.float32]:
        """The logits [N, classes] of samples [N, ...] as the data file holds them; only a batch is ever in float."""

        def one() -> Feed:
            return {self._input: inputs(samples[:1], scale).astype(self.dtype, copy=False)}

        step = self._batch or batch or self._fitting(one, len(samples))
        found = []
        for start in range(0, len(samples), step):
            found.append(self.run(inputs(samples[start : start + step], scale)))
            beat()
        return np.concatenate(found)

    def answered(self, asked: Asked) -> Answered:
        """All outputs to each sample, or to each step of a sample that is a sequence, without the state."""
        return list(self.answering(asked))

    def answering(self, asked: Asked) -> Iterator[Outputs]:
        """As `answered`, one after the other."""
        at_once = self._batch or (self._fitting(asked.one, len(asked)) if asked.batches else 1)
        names, visible = [tensor.name for tensor in asked.signature.outputs], asked.visible
        shown = [names.index(tensor.name) for tensor in visible.outputs]
        for _, count, values in asked.asks(lambda feed: list(self._session.run(None, dict(feed))), names, at_once):
            outputs = by_sample([values[place] for place in shown], visible, count)
            for row in range(count):
                yield [one[row : row + 1] for one in outputs]
            beat()

    def _fitting(self, one: Callable[[], Feed], samples: int) -> int:
        """How many samples fit, found once."""
        if self._fits is None and samples > 1:
            from edgefleet_compression.onnx_graphs.batches import answering  # onnx: the probe does without

            self._fits = answering(self._path, one(), BATCH)
        return self._fits or 1


def _names_dynamic(path: Path) -> bool:
    """Whether a file names an operator that takes a range over its whole input; a megabyte at a time."""
    tail = b""
    for block in read_blocks(path):
        if DYNAMIC in tail + block:
            return True
        tail = block[-len(DYNAMIC) :]
    return False
