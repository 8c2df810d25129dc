"""An onnxruntime session on one thread, as a device runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgefleet_compression.errors import RecipeError
from edgefleet_protocol import runtime_options

BATCH = 250
ERRORS_ONLY = 3
DYNAMIC = b"DynamicQuantize"
"""How the names of the operators begin that take a range over their whole input, as they stand in a file."""


def inputs(x: NDArray[np.uint8] | NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Samples uint8 or float32 as the model's input."""
    return x.astype(np.float32) * np.float32(scale)


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        for key, value in (runtime or {}).items():
            options.add_session_config_entry(key, value)
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given = self._session.get_inputs()[0]
        self._input = given.name
        self._batch = given.shape[0] if given.shape and isinstance(given.shape[0], int) else None
        if self._batch is None and DYNAMIC in path.read_bytes():
            self._batch = 1
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if given.type == "tensor(uint8)" else np.float32)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits [N, classes] of one batch [N, ...]."""
        return np.asarray(self._session.run(None, {self._input: x.astype(self.dtype, copy=False)})[0], np.float32)

    def logits(self, x: NDArray[np.float32], batch: int = BATCH) -> NDArray[np.float32]:
        """The logits [N, classes] of any number of inputs [N, ...], batch by batch."""
        step = self._batch or batch
        return np.concatenate([self.run(x[i : i + step]) for i in range(0, len(x), step)])
