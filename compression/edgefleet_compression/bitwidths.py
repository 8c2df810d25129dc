"""How many bits each layer's weights take: by its kind, or by what fewer bits cost there."""

from collections.abc import Collection, Mapping

from edgefleet_compression.layer_kinds import WeightKind
from edgefleet_compression.step_settings import StoredBits, WeightBits

FEWEST, MOST = 2, 8


def by_kind(kinds: Mapping[str, Collection[WeightKind]], config: WeightBits | StoredBits) -> dict[str, int]:
    """Bits by weight: those that the settings name for its kind; for one of several kinds, the most of them."""
    return {weight: max(int(getattr(config, kind)) for kind in several) for weight, several in kinds.items()}


def by_sensitivity(
    losses: Mapping[str, Mapping[int, float]], weights: Mapping[str, int], mean_bits: float
) -> dict[str, int]:
    """Bits by layer so that a weight takes at most `mean_bits` on average and the summed loss stays small.

    Greedy: every layer begins with the most bits, and the one gives up bits next whose loss grows least for the
    storage that it frees (after Cai et al. 2020, ZeroQ, who allocate by summed per-layer sensitivity).

    Args:
        losses: by layer, what the model loses when only that layer has so many bits; any unit.
        weights: how many numbers each layer has.
        mean_bits: the target; reached unless every layer is at its fewest bits.
    """
    bits = {layer: max(options) for layer, options in losses.items()}
    allowed = mean_bits * sum(weights[layer] for layer in losses)

    def price(layer: str, fewer: int) -> float:
        freed = (bits[layer] - fewer) * weights[layer]
        return (losses[layer][fewer] - losses[layer][bits[layer]]) / freed

    while sum(bits[layer] * weights[layer] for layer in bits) > allowed:
        moves = [
            (price(layer, fewer), layer, fewer) for layer in bits for fewer in losses[layer] if fewer < bits[layer]
        ]
        if not moves:
            break
        _, layer, fewer = min(moves)
        bits[layer] = fewer
    return bits
