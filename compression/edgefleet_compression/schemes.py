"""The int8 scheme that fits an instruction set.

The rule is the one of onnxruntime's quantize_static (docstring of 1.31), which our own measurements bear out:
on AVX2 without VNNI the u8 x s8 product saturates in 16 bits, so weights keep to 7 bits (`reduce_range`).
"""

from dataclasses import asdict, dataclass
from typing import Literal

from edgefleet_profiles.device_class import InstructionSet


@dataclass(frozen=True)
class Scheme:
    """Types of activations and weights of a static int8 graph; `reduce_range` keeps weights to 7 bits."""

    activation: Literal["u8", "s8"]
    weight: Literal["s8"] = "s8"
    reduce_range: bool = False

    def as_dict(self) -> dict[str, str | bool]:
        """The scheme as plain values."""
        return asdict(self)


_SCHEMES: dict[InstructionSet, Scheme | None] = {
    "x86-vnni": Scheme("u8"),
    "x86-avx2": Scheme("u8", reduce_range=True),
    "x86-sse": None,
    "arm-dotprod": Scheme("s8"),
    "arm-neon": None,
}

NO_SCHEME: dict[InstructionSet, str] = {
    "x86-sse": "x86 without AVX2 has no fast int8 product: fp32 with storage quantization until int8 is measured",
    "arm-neon": "ARM without dotprod may run int8 slower than fp32: fp32 with storage quantization until measured",
}


def scheme_for(instruction_set: InstructionSet) -> Scheme | None:
    """The static int8 scheme for an instruction set; None where int8 must be measured first (see NO_SCHEME)."""
    return _SCHEMES[instruction_set]
