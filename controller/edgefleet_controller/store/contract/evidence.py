"""Evidence for the gate: what the devices of a rollout measured, by profile and device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edgefleet_controller.records import Evidence

LATE_MS = 10_000
"""How long after its `received_ms` a window may be committed."""
MAX_LABELLED = 20_000
"""How many labelled windows from before a rollout are read, the newest first: half a second's work."""
MAX_TIMED = 50
"""Of how many devices of a profile the latencies are kept, on each side: 30 KB each, and 50 are sharp enough."""


class Switched(NamedTuple):
    """A device that was told to switch: the incarnation that it reports, and the generation that it was given.

    Until it has `committed`, what it measures is kept, but does not count.
    """

    incarnation: str
    generation: int
    committed: bool


@dataclass(frozen=True)
class Compared:
    """A rollout on one profile.

    Args:
        new: the rollout's variant.
        before: the variants that its devices ran before.
        switched: the devices that were told to switch.
        waiting: the other devices of the rollout, each with the incarnation that it reports.
    """

    new: str
    before: frozenset[str]
    switched: Mapping[str, Switched]
    waiting: Mapping[str, str]

    def incarnation(self, device: str) -> str | None:
        """The incarnation whose windows count; None for a device that is no part of the rollout."""
        switched = self.switched.get(device)
        return switched.incarnation if switched else self.waiting.get(device)


class Gathering(Protocol):
    """Evidence for one rollout from all windows that have arrived so far; each is read once."""

    def of(self, compared: Mapping[str, Compared]) -> list[Evidence]:
        """Evidence for each of these profiles, from all that has arrived; MUST be ordered by profile.

        MUST count every window once, however often this is called, including windows committed up to `LATE_MS` after
        their `received_ms`. Only windows of the rollout's devices count, of the incarnation that they report now and
        with the profile that they have in the rollout. A window counts as new if it is of the generation that its
        device was given and has committed; it counts for the control if its device had not switched when it was read.
        """


class EvidenceSource(Protocol):
    """What devices measured, in the form that the gate needs."""

    def gather(self, model: str, since_ms: int) -> Gathering:
        """Start collecting evidence.

        Args:
            model: the model's name.
            since_ms: when the first device was told to switch; windows received before that only count as `before`.
        """
