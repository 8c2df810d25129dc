"""Samples as the network sees them: made once of what applications send, and kept in the cache."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgefleet_compression.cache import Cache
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.models.around.pictures import Composition
from edgefleet_compression.models.splits.data import SplitFile, SplitName
from edgefleet_compression.onnx_graphs.composed import composed_signature
from edgefleet_compression.onnx_graphs.composing import preprocessing_alone
from edgefleet_compression.onnx_graphs.options import one_thread
from edgefleet_compression.onnx_graphs.sent import SentInput
from edgefleet_compression.onnx_graphs.session import PROVIDER
from edgefleet_compression.samples import Column, Samples, Split
from edgefleet_protocol.canonical import digest_of
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature

VALUES, SHAPES = "values.bin", "shapes.json"
REVISION = 1
"""Raise it when the same frames become other numbers."""


def seen_by_network(sends: SplitFile, network: Signature, made: Composition, cache: Cache, digest: str) -> SplitFile:
    """The splits as a network takes them: as they are sent, where all that is done to them is a scale.

    Args:
        sends: the splits as applications send them.
        network: what the network takes.
        made: what is done to them.
        cache: where what becomes of them is kept.
        digest: of the network, the card and the data.
    """
    if made.sent is None or made.plain_scale(network) is not None:
        return sends
    return NetworkFile(sends, Preprocessed(network, made.sent), cache, digest)


class Preprocessed:
    """What one input's preprocessing alone makes of samples.

    Args:
        network: what the network takes.
        sent: what is sent for one of its inputs.
    """

    def __init__(self, network: Signature, sent: SentInput) -> None:
        self.sent = sent
        self._told = composed_signature(network, sent)
        model = preprocessing_alone(network, sent).SerializeToString(deterministic=True)
        self._session: Any = onnxruntime.InferenceSession(model, one_thread(), providers=[PROVIDER])
        [tensor] = [one for one in network.inputs if one.name == sent.input]
        self._batched = bool(tensor.batched)
        self._dtype = np.dtype(BY_NAME[tensor.datatype].numpy)

    def of(self, samples: Samples) -> Samples:
        """All samples at once, in memory."""
        made = [np.array(one) for one in self._each(samples)]
        return _with(
            samples, self.sent.input, _column([one.shape for one in made], np.concatenate([*map(np.ravel, made)]))
        )

    def write(self, samples: Samples, folder: Path) -> None:
        """Write what becomes of the input, one sample after the other."""
        shapes = []
        with (folder / VALUES).open("wb") as file:
            for made in self._each(samples):
                shapes.append(made.shape)
                file.write(np.ascontiguousarray(made).data)
        (folder / SHAPES).write_text(json.dumps(shapes), encoding="utf-8")

    def read(self, samples: Samples, folder: Path) -> Samples:
        """The samples with what `write` wrote, which stays on the disk."""
        shapes = [tuple(shape) for shape in json.loads((folder / SHAPES).read_text(encoding="utf-8"))]
        values = np.memmap(folder / VALUES, self._dtype, mode="r")
        return _with(samples, self.sent.input, _column(shapes, values))

    def _each(self, samples: Samples) -> Iterator[NDArray[Any]]:
        [given] = [one.name for one in self._session.get_inputs()]
        for row in range(len(samples)):
            [made] = self._session.run(None, {given: samples.feed(row, self._told)[self.sent.input]})
            beat()
            yield made[0] if self._batched else made


class NetworkFile(SplitFile):
    """The splits of a data file, as the network sees them."""

    def __init__(self, sent: SplitFile, preprocessed: Preprocessed, cache: Cache, digest: str) -> None:
        """Preprocess a split when it is first asked for, if that was not done before.

        Args:
            sent: the splits as applications send them.
            preprocessed: what makes them the network's.
            cache: where they are kept.
            digest: of the data file and of all that decides what becomes of it.
        """
        self._sent = sent
        self._preprocessed = preprocessed
        self._cache = cache
        self._digest = digest
        self._made: dict[SplitName, Split] = {}

    def read(self, name: SplitName) -> Split:
        """One split, checked as it was sent; raises DataError."""
        if name not in self._made:
            found = self._sent.read(name)
            key = digest_of(
                {
                    "preprocessed": name,
                    "of": self._digest,
                    "revision": REVISION,
                    "onnxruntime": onnxruntime.__version__,
                }
            )
            folder, _ = self._cache.get_or_put(key, lambda folder: self._preprocessed.write(found.x, folder))
            self._made[name] = Split(self._preprocessed.read(found.x, folder), found.y)
        return self._made[name]

    def forget(self, name: SplitName) -> None:
        """Free the memory of a split; it is read again when it is asked for."""
        self._made.pop(name, None)
        self._sent.forget(name)

    def has(self, name: SplitName) -> bool:
        """Whether the file has samples for a split."""
        return self._sent.has(name)


def _column(shapes: list[tuple[int, ...]], values: NDArray[Any]) -> Column:
    if len(set(shapes)) == 1:
        return Column(values.reshape(len(shapes), *shapes[0]))
    return Column(values, shapes=np.array(shapes, np.int64))


def _with(samples: Samples, name: str, column: Column) -> Samples:
    return Samples({**samples.columns, name: column})
