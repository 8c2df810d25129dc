"""Evidence for the gate: what devices measured, by profile and variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgefleet_controller.records import Evidence

LATE_MS = 10_000
"""How long after its `received_ms` a window may be committed."""


@dataclass(frozen=True)
class Compared:
    """The rollout's variant on a profile, the variants that its devices ran before, and the devices that switched."""

    new: str
    before: frozenset[str]
    exposed: frozenset[str]


class Gathering(Protocol):
    """Evidence for one rollout from all windows that have arrived so far; each is read once."""

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        """Evidence for each of these profiles, from all that has arrived; MUST be ordered by profile.

        MUST count every window once, however often this is called, including windows committed up to `LATE_MS` after
        their `received_ms`. A window counts for the control if its device had not switched when the window was read. A
        window without a profile is not counted.
        """


class EvidenceSource(Protocol):
    """What devices measured, in the form that the gate needs."""

    def gather(self, model: str, since_ms: int) -> Gathering:
        """Start collecting evidence.

        Args:
            model: the model's name.
            since_ms: when the first device was told to switch; windows received before that only count as `before`.
        """
