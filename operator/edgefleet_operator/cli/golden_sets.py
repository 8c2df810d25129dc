"""What there is to say of the golden sets of new variants."""

from collections import defaultdict
from collections.abc import Iterable

from edgefleet_contract.variants import VariantView


def golden_sentences(variants: Iterable[VariantView]) -> list[str]:
    """What is otherwise than the model's card asks, one line for all variants of which the same is to be said."""
    said: dict[str, list[str]] = defaultdict(list)
    for variant in variants:
        if variant.golden and (sentence := variant.golden.unlike_asked):
            said[sentence].append(variant.label)
    return [f"{', '.join(labels)}: {sentence}" for sentence, labels in said.items()]
