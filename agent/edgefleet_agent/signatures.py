"""What a model takes and gives, between a session's own words, a manifest's, and the endpoint's. No numpy."""

from collections.abc import Iterable
from typing import Any

from edgefleet_protocol.signature import Axis, Signature, Tensor

ANY = -1
"""A size that may differ, as the Open Inference Protocol writes it."""


def signature_of(inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> Signature:
    """The signature of what a session tells: each tensor's name, datatype and shape, `ANY` for any size."""
    return Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs)))


def shown_shape(tensor: Tensor) -> list[int]:
    """The shape with `ANY` for every size that may differ."""
    return [axis if isinstance(axis, int) else ANY for axis in tensor.shape]


def fits(tensors: Iterable[dict[str, Any]], signature: Signature) -> bool:
    """Whether a request, as `inference_protocol.parse` gives it, has the inputs of a model."""
    given, taken = list(tensors), signature.inputs
    return len(given) == len(taken) and all(map(_is_of, given, taken))


def asked_for(signature: Signature) -> str:
    """What a model takes, for people: `x FP32 [-1, 16]`."""
    return ", ".join(f"{one.name[:60]} {one.datatype} {shown_shape(one)}" for one in signature.inputs)[:400]


def difference(claimed: Signature, found: Signature) -> str | None:
    """Where a manifest's signature is not that of the model; None if it is."""
    for what in ("inputs", "outputs"):
        theirs, ours = ({t.name: t for t in getattr(one, what)} for one in (claimed, found))
        if list(theirs) != list(ours):
            return f"the manifest's {what} are {', '.join(theirs)[:200]}, the model's {', '.join(ours)[:200]}"
        for name, tensor in theirs.items():
            alike = tensor.datatype == ours[name].datatype and len(tensor.shape) == len(ours[name].shape)
            if not alike or not all(map(_alike, tensor.shape, ours[name].shape)):
                told = f"{tensor.datatype} {tensor.shown}", f"{ours[name].datatype} {ours[name].shown}"
                return f"'{name[:60]}' is {told[0]} in the manifest, {told[1]} in the model"
    return None


def _is_of(given: dict[str, Any], tensor: Tensor) -> bool:
    shape = shown_shape(tensor)
    named = (given["name"], given["datatype"]) == (tensor.name, tensor.datatype)
    return named and len(given["shape"]) == len(shape) and all(map(_is_size, given["shape"], shape))


def _is_size(size: int, declared: int) -> bool:
    return declared in (ANY, size)


def _alike(claimed: Axis, found: Axis) -> bool:
    return claimed == found or not isinstance(found, int)


def _tensor(told: dict[str, Any]) -> Tensor:
    return Tensor(told["name"], told["datatype"], tuple(None if size == ANY else size for size in told["shape"]))
