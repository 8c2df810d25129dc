"""Evidence for the gate: what devices measured, by profile and variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgefleet_controller.records import Evidence

LATE_MS = 10_000
"""A window may be committed so long after the moment with which it is stamped."""


@dataclass(frozen=True)
class Compared:
    """The rollout's variant on a profile, the variants that its devices ran before, and the devices that switched."""

    new: str
    before: frozenset[str]
    exposed: frozenset[str]


class Gathering(Protocol):
    """What is known for one rollout, from every window that has arrived so far; each is read once."""

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        """Evidence for each of these profiles, by all that has arrived until now; MUST be by profile.

        MUST count every window once, however often it is asked, and also one that is committed up to `LATE_MS` after
        the moment with which it is stamped. A window counts as a control's if its device had not switched when it was
        read. A window that is no profile's counts nowhere.
        """


class EvidenceSource(Protocol):
    """What devices measured, as the gate asks for it."""

    def gather(self, model: str, since_ms: int) -> Gathering:
        """Begin to gather evidence.

        Args:
            model: which model.
            since_ms: when the first device was told to switch; windows received before that show only what ran before.
        """
