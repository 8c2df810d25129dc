"""What the endpoint tells of a model that answers: its metadata, and its configuration as Triton's clients know it."""

from typing import Any

from edgefleet_agent.placed import Placed
from edgefleet_agent.signatures import ANY, shown_shape
from edgefleet_protocol.datatypes import BYTES
from edgefleet_protocol.signature import Tensor

PLATFORM = "onnxruntime_onnx"


def metadata(model: str, live: Placed) -> dict[str, Any]:
    """The model's metadata, as the Open Inference Protocol defines it; `parameters` say which variant answers."""
    core = live.manifest.core
    return {
        "name": model,
        "versions": [str(live.slot.model_version)],
        "platform": PLATFORM,
        "inputs": [_described(tensor) for tensor in live.worker.signature.inputs],
        "outputs": [_described(tensor) for tensor in live.worker.signature.outputs],
        "parameters": {
            "variant": live.slot.variant,
            "generation": live.slot.generation,
            "scale": core.scale,
            "labels": list(core.labels),
        },
    }


def configuration(model: str, live: Placed, body_bytes: int) -> dict[str, Any]:
    """The model's configuration, as far as it has meaning here.

    Where every tensor begins with the batch, and that may be of any size, `dims` leave it out, and the largest batch is
    what a request can carry; the memory of the device may allow fewer.

    Args:
        model: its name.
        live: what answers for it.
        body_bytes: the most that a request may have.
    """
    inputs, outputs = live.worker.signature.inputs, live.worker.signature.outputs
    batches = all(one.batched and not one.batch_axis and shown_shape(one)[0] == ANY for one in (*inputs, *outputs))
    sequences = {"sequence_batching": _sequences(live)} if live.manifest.core.state else {}
    return {
        "name": model,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [live.slot.model_version]}},
        "max_batch_size": body_bytes // live.worker.row_bytes if batches else 0,
        "input": [_tensor(tensor, batches) for tensor in inputs],
        "output": [_tensor(tensor, batches) for tensor in outputs],
        **sequences,
    }


def _sequences(live: Placed) -> dict[str, Any]:
    """How sequences are kept, in Triton's words: steps go one at a time to the variant that answers."""
    core = live.manifest.core
    assert core.state and core.signature, "check_manifest has passed"
    pairs = zip(core.state.pairs, core.state.tensors(core.signature), strict=True)
    return {
        "max_sequence_idle_microseconds": round(core.state.idle_s * 1e6),
        "control_input": [],
        "state": [
            {"input_name": pair.given, "output_name": pair.gives, **_typed(tensor, False)} for pair, tensor in pairs
        ],
        "direct": {},
    }


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shown_shape(tensor)}


def _tensor(tensor: Tensor, batches: bool) -> dict[str, Any]:
    return {"name": tensor.name, **_typed(tensor, batches)}


def _typed(tensor: Tensor, batches: bool) -> dict[str, Any]:
    datatype = "STRING" if tensor.datatype == BYTES else tensor.datatype
    return {"data_type": f"TYPE_{datatype}", "dims": shown_shape(tensor)[int(batches) :]}
