"""What a rollout offers to the devices of a profile: the variant chosen for it, or why there is none; pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edgefleet_compression.pricing.choosing import NEAREST
from edgefleet_contract.counted import counted
from edgefleet_controller.records import ChoiceRecord, ManifestForm, VariantRecord
from edgefleet_controller.rollouts.memory_room import memory_mb

_MOST_REASONS = 3


@dataclass(frozen=True)
class Assigned:
    """The variant chosen for a profile, the forms of its manifest, the newest first, and its memory if measured."""

    variant: str
    forms: tuple[ManifestForm, ...]
    mb: int | None = None


@dataclass(frozen=True)
class NoVariant:
    """Why there is none."""

    why: str


Offer = Assigned | NoVariant


def not_compressed(model: str) -> NoVariant:
    """For a profile that nothing was chosen for, as when its first device joined later."""
    return NoVariant(f"{model} was not compressed for this profile: run `edgefleet compress {model}`")


def offer(choice: ChoiceRecord, variants: Mapping[str, VariantRecord]) -> Offer:
    """What a choice offers; `variants` are those of the model version, by id."""
    if choice.variant is not None:
        chosen = variants[choice.variant]
        return Assigned(chosen.id, chosen.forms, memory_mb(chosen.metrics))
    against = Counter(reason for variant, reason in choice.reasons.items() if variant in variants)
    if not against:
        return NoVariant("no variant was built for it")
    # Nearest first, as that is the one to change something for.
    ordered = sorted(against.items(), key=lambda one: (not one[0].startswith(NEAREST), -one[1], one[0]))
    said = [reason if n == 1 else f"{reason} ({n:,} of them)" for reason, n in ordered[:_MOST_REASONS]]
    more = against.total() - sum(n for _, n in ordered[:_MOST_REASONS])
    fits = f"none of {counted(against.total(), 'variant')} fits: {'; '.join(said)}"
    return NoVariant(f"{fits}; and {more:,} more" if more else fits)
