"""Says in few lines why profiles get what they get and why not the other variants, however many profiles there are."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.variants import VariantView

MOST_NAMED = 3
"""Of the profiles that share a reason; the others are counted."""
MOST_REASONS = 3
"""For or against one variant, in reasons that differ in more than their figures."""
FIGURE = re.compile(r"\d[\d,.]*")
Given = tuple[str, str]
"""A profile, and the reason there."""


@dataclass
class _Shared:
    """A reason and the profiles that it holds for; its figures are those of the first, if others have their own."""

    reason: str
    profiles: list[str] = field(default_factory=list)
    own_figures: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.reason} (figures of {self.profiles[0]})" if self.own_figures else self.reason


def reason_lines(choices: Sequence[ChoiceView], variants: Sequence[VariantView]) -> Iterator[str]:
    """Say what is chosen where and why, then the reasons against each variant, each once for all profiles it holds for.

    Args:
        choices: one for each profile.
        variants: those of the model.
    """
    labels = {v.id: v.label for v in variants}
    chosen: dict[str, list[Given]] = {}
    against: dict[str, list[Given]] = {}
    for choice in choices:
        got = choice.variant if choice.variant in labels else None
        because = choice.reasons.get(got or "", "no variant meets its constraints")
        chosen.setdefault(got or "", []).append((choice.profile, because))
        for variant, reason in choice.reasons.items():
            if variant in labels and variant != got:
                against.setdefault(variant, []).append((choice.profile, reason))
    for variant, given in chosen.items():
        label = labels.get(variant, "nothing")
        for shared in _shared(given):
            yield f"{label} on {named(shared.profiles)}: {shared.sentence}"
    yield from _against(against, labels, len(choices))


def _against(against: Mapping[str, list[Given]], labels: Mapping[str, str], everywhere: int) -> Iterator[str]:
    for variant, given in against.items():
        for shared in _shared(given):
            where = "" if len(shared.profiles) == everywhere else f" on {named(shared.profiles)}"
            yield f"    not {labels[variant]}{where}: {shared.sentence}"


def _shared(given: Sequence[Given]) -> list[_Shared]:
    """Group by reason; where that leaves many, by what reasons say besides their figures, and the rarest together."""
    found = _grouped(given, str)
    if len(found) > MOST_REASONS:
        found = sorted(_grouped(given, _without_figures), key=lambda one: -len(one.profiles))
    if len(found) > MOST_REASONS:
        rest = [profile for one in found[MOST_REASONS:] for profile in one.profiles]
        found = [
            *found[:MOST_REASONS],
            _Shared("other reasons, see `edgefleet compress MODEL --explain PROFILE`", rest),
        ]
    return found


def _grouped(given: Sequence[Given], key: Callable[[str], str]) -> list[_Shared]:
    found: dict[str, _Shared] = {}
    for profile, reason in given:
        shared = found.setdefault(key(reason), _Shared(reason))
        shared.profiles.append(profile)
        shared.own_figures |= reason != shared.reason
    return list(found.values())


def _without_figures(reason: str) -> str:
    return FIGURE.sub("#", reason)


def named(profiles: Sequence[str]) -> str:
    """Name a few profiles, and count the others."""
    if len(profiles) <= MOST_NAMED:
        return ", ".join(profiles)
    return f"{', '.join(profiles[:MOST_NAMED])} and {len(profiles) - MOST_NAMED} more"
