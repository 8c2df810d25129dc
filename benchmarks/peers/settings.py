"""How each peer is asked: as its own documentation advises, for an instruction set where it makes a difference."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgefleet_compression.schemes import Scheme, scheme_for
from edgefleet_profiles.device_class import InstructionSet

PEERS = ("onnxruntime", "nncf", "olive-ai")
MODULES = {peer: f"benchmarks.peers.in_{peer.partition('-')[0]}" for peer in PEERS}
OWN_ENVIRONMENT = "onnxruntime"
"""The peer that this project has installed anyway."""


@dataclass(frozen=True)
class Setting:
    """One way to ask a peer; `instruction_set` None means that it asks alike for all."""

    peer: str
    name: str
    instruction_set: InstructionSet | None
    options: dict[str, Any] = field(default_factory=dict)


def classes_of(own: InstructionSet) -> tuple[InstructionSet, ...]:
    """What to make files for on a host: its own class, and with VNNI also for those without, which is smaller."""
    return (own, "x86-avx2") if own == "x86-vnni" else (own,)


def settings_for(classes: Sequence[InstructionSet]) -> list[Setting]:
    """All ways to ask all peers; a class without an int8 scheme has none but those that are for all."""
    schemes = [(name, scheme_for(name)) for name in classes]
    return [
        *(_static("onnxruntime", name, scheme) for name, scheme in schemes if scheme),
        *(Setting("nncf", preset.lower(), None, {"preset": preset}) for preset in ("MIXED", "PERFORMANCE")),
        *(_static("olive-ai", name, scheme) for name, scheme in schemes if scheme),
    ]


def _static(peer: str, instruction_set: InstructionSet, scheme: Scheme) -> Setting:
    """The types that onnxruntime's quantize_static names in its docstring for the instruction set."""
    types = f"{scheme.activation}{scheme.weight}{', reduce_range' if scheme.reduce_range else ''}"
    return Setting(peer, f"per channel, {types}", instruction_set, scheme.as_dict())
