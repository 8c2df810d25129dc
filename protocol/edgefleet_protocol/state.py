"""What a model keeps from one step of a sequence to the next: plain values, light enough for a device's supervisor."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgefleet_protocol.datatypes import BY_NAME, BYTES
from edgefleet_protocol.signature import MAX_TENSORS, Signature, Tensor

MAX_STATE_BYTES = 16 * 1024 * 1024
"""Of all sequences on a device together, and so of a single one."""
MAX_IDLE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class StatePair:
    """An input, and the output that is its next value."""

    given: str
    gives: str


@dataclass(frozen=True, slots=True)
class SequenceState:
    """The state of a model's sequences, which begins with zeros.

    `carries` says that a sequence goes on with this version's state after the version before, and the other way round,
    where the pairs have the same names, types and shapes. A sequence ends once it was idle for `idle_s` seconds.
    """

    pairs: tuple[StatePair, ...]
    carries: bool = False
    idle_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.pairs) <= MAX_TENSORS:
            raise ValueError(f"a state has 1 to {MAX_TENSORS} pairs of an input and an output, not {len(self.pairs)}")
        for what, names in (("input", [p.given for p in self.pairs]), ("output", [p.gives for p in self.pairs])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"the {what} '{twice[0][:60]}' is in two pairs of the state: name each once")
        if not (math.isfinite(self.idle_s) and 0 < self.idle_s <= MAX_IDLE_S):
            raise ValueError(f"idle_s must be above 0 and at most {MAX_IDLE_S:g}")

    def check(self, signature: Signature) -> None:
        """Check that the pairs are those of a model whose state has one size.

        Raises:
            ValueError: a tensor is missing, of another type or shape than the one beside it, or of any size.
        """
        for given, gives in self._ends(signature):
            told = f"{given.datatype} {given.shown}", f"{gives.datatype} {gives.shown}"
            if given.datatype != gives.datatype:
                raise ValueError(f"the state '{given.name[:60]}' is {told[0]}, and '{gives.name[:60]}' is {told[1]}")
            if given.datatype == BYTES:
                raise ValueError(f"the state '{given.name[:60]}' is of texts: only numbers are kept")
            if given.shape != gives.shape or not all(isinstance(size, int) and size for size in given.shape):
                raise ValueError(
                    f"the state '{given.name[:60]}' is {told[0]}, and '{gives.name[:60]}' is {told[1]}: a state has "
                    "one size, at every step"
                )
        if (size := self.size_bytes(signature)) > MAX_STATE_BYTES:
            raise ValueError(f"the state of a sequence takes {size:,} bytes: at most {MAX_STATE_BYTES:,}")

    def tensors(self, signature: Signature) -> tuple[Tensor, ...]:
        """The inputs that take the state, in the pairs' order."""
        return tuple(given for given, _ in self._ends(signature))

    def size_bytes(self, signature: Signature) -> int:
        """The bytes of one sequence's state, once every size is known."""
        return sum(BY_NAME[one.datatype].size_bytes * math.prod(_sizes(one)) for one in self.tensors(signature))

    def visible(self, signature: Signature) -> Signature:
        """What applications send and get: one step at a time, and nothing of the state."""
        given, gives = {pair.given for pair in self.pairs}, {pair.gives for pair in self.pairs}
        inputs = tuple(_single(one) for one in signature.inputs if one.name not in given)
        return Signature(inputs, tuple(_single(one) for one in signature.outputs if one.name not in gives))

    def sized(self, signature: Signature, sizes: Mapping[str, tuple[int, ...]]) -> Signature:
        """The signature with the sizes that the state has.

        Args:
            signature: as the file has it.
            sizes: the shape of the state of each pair, by its input's name.
        """
        by_name = {name: sizes[pair.given] for pair in self.pairs for name in (pair.given, pair.gives)}

        def known(tensor: Tensor) -> Tensor:
            return replace(tensor, shape=by_name[tensor.name], batched=False, batch_axis=0)

        given, gives = {pair.given for pair in self.pairs}, {pair.gives for pair in self.pairs}
        inputs = tuple(known(one) if one.name in given else one for one in signature.inputs)
        return Signature(inputs, tuple(known(one) if one.name in gives else one for one in signature.outputs))

    def told(self) -> dict[str, Any]:
        """The state as plain values, without what is as it is by default."""
        told: dict[str, Any] = {"pairs": [{"given": pair.given, "gives": pair.gives} for pair in self.pairs]}
        kept = {"carries": self.carries, "idle_s": self.idle_s}
        default = SequenceState(self.pairs)
        return told | {name: value for name, value in kept.items() if value != getattr(default, name)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "SequenceState":
        """The state of what `told` gave, also by way of JSON.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(**{**told, "pairs": tuple(StatePair(**pair) for pair in told["pairs"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no state: {error}") from None

    def _ends(self, signature: Signature) -> list[tuple[Tensor, Tensor]]:
        found = ({one.name: one for one in tensors} for tensors in (signature.inputs, signature.outputs))
        inputs, outputs = found
        for what, names, known in (
            ("input", [pair.given for pair in self.pairs], inputs),
            ("output", [pair.gives for pair in self.pairs], outputs),
        ):
            if missing := [name for name in names if name not in known]:
                told = ", ".join(known)[:400] or "none"
                raise ValueError(f"the state names the {what} '{missing[0][:60]}': the model has {told}")
        return [(inputs[pair.given], outputs[pair.gives]) for pair in self.pairs]


def _sizes(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if isinstance(size, int)]


def _single(tensor: Tensor) -> Tensor:
    """One sample: a step of a sequence is asked by itself."""
    if not tensor.batched:
        return tensor
    at = tensor.batch_axis
    return replace(tensor, shape=(*tensor.shape[:at], 1, *tensor.shape[at + 1 :]))
