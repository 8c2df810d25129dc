"""Arrays as a session of one input is asked."""

from typing import Any

import numpy as np

from edgefleet_compression.judging import Judge
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.samples import Column, Feed, Samples
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.registry import task_named

CLASSIFIER = Judge(task_named("classification"), Spec())


def asked(x: Any, name: str = "x", *, batches: bool = True) -> Asked:
    """Samples [N, ...] for a model that takes and answers float32."""
    given = Tensor(name, "FP32", (None, *x.shape[1:]))
    signature = Signature((given,), (Tensor("y", "FP32", (None, None)),))
    return Asked(Samples({name: Column(x)}), signature, batches)


def zeros(name: str, *shape: int) -> Feed:
    """One sample of zeros for a model of one float input."""
    return {name: np.zeros((1, *shape), np.float32)}
