"""Samples as a model takes them: what every file that is made of it is asked, too."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.samples import Feed, Samples
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature


@dataclass(frozen=True)
class Asked:
    """Some samples, and how they are put to a session.

    Attributes:
        samples: as the data file holds them.
        signature: what the model takes and gives.
        batches: whether several may be asked at once.
        scale: what samples are multiplied by, for inputs of real numbers.
    """

    samples: Samples
    signature: Signature
    batches: bool
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.samples)

    def first(self, count: int) -> "Asked":
        """The first `count` samples; all if `count` is 0 or there are fewer."""
        return replace(self, samples=self.samples.first(count))

    def one(self, row: int = 0) -> Feed:
        """One sample by itself."""
        return self._as_inputs(self.samples.feed(row, self.signature))

    def feeds(self, at_once: int) -> Iterator[tuple[Feed, int]]:
        """All samples, so many at once where that may be, each feed with how many it holds."""
        step = at_once if self.batches else 1
        for start in range(0, len(self), step):
            stop = min(start + step, len(self))
            batch = self.samples.batch(start, stop, self.signature) if self.batches else None
            feed = self.samples.feed(start, self.signature) if batch is None else batch
            yield self._as_inputs(feed), stop - start

    def _as_inputs(self, feed: Feed) -> Feed:
        types = {tensor.name: np.dtype(BY_NAME[tensor.datatype].numpy) for tensor in self.signature.inputs}
        return {name: self._as_input(x, types[name]) for name, x in feed.items()}

    def _as_input(self, x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        if self.scale != 1.0:  # only a batch is ever in float
            x = x.astype(np.float32) * np.float32(self.scale)
        return x.astype(dtype, copy=False)
