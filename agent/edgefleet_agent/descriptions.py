"""What the endpoint tells of a model that answers: its metadata, and its configuration as Triton's clients know it."""

from typing import Any

from edgefleet_agent.answering import Placed
from edgefleet_agent.datatypes import BYTES

PLATFORM = "onnxruntime_onnx"


def metadata(model: str, live: Placed) -> dict[str, Any]:
    """The model's metadata, as the Open Inference Protocol defines it; `parameters` say which variant answers."""
    core = live.manifest.core
    return {
        "name": model,
        "versions": [str(live.slot.model_version)],
        "platform": PLATFORM,
        "inputs": live.worker.inputs,
        "outputs": live.worker.outputs,
        "parameters": {
            "variant": live.slot.variant,
            "generation": live.slot.generation,
            "scale": core.preprocessing.scale,
            "labels": list(core.labels),
        },
    }


def configuration(model: str, live: Placed, body_bytes: int) -> dict[str, Any]:
    """The model's configuration, as far as it has meaning here.

    Where every tensor begins with a dimension of any size, that one counts the samples of a batch: then `dims` leave it
    out, and the largest batch is what a request can carry; the memory of the device may allow fewer.

    Args:
        model: its name.
        live: what answers for it.
        body_bytes: the most that a request may have.
    """
    inputs, outputs = live.worker.inputs, live.worker.outputs
    batches = all(tensor["shape"][:1] == [-1] for tensor in (*inputs, *outputs))
    return {
        "name": model,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [live.slot.model_version]}},
        "max_batch_size": body_bytes // live.worker.row_bytes if batches else 0,
        "input": [_tensor(tensor, batches) for tensor in inputs],
        "output": [_tensor(tensor, batches) for tensor in outputs],
    }


def _tensor(tensor: dict[str, Any], batches: bool) -> dict[str, Any]:
    dims = tensor["shape"][1:] if batches else tensor["shape"]
    datatype = "STRING" if tensor["datatype"] == BYTES else tensor["datatype"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": dims}
