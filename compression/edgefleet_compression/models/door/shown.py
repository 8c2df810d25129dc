"""Tensors in words."""

import numpy as np

from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Tensor


def shown_sample(tensor: Tensor) -> str:
    """A sample's shape in words; open sizes are `any`."""
    return f"[{', '.join(str(axis) if isinstance(axis, int) else 'any' for axis in tensor.sample_shape)}]"


def numpy_name(tensor: Tensor) -> str:
    """The type as numpy calls it; texts are `text`."""
    return "text" if tensor.datatype == "BYTES" else np.dtype(BY_NAME[tensor.datatype].numpy).name
