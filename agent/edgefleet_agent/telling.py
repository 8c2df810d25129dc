"""A transition in plain words, for the log and the journal. Pure."""

from pydantic import BaseModel, ConfigDict

from edgefleet_agent.lifecycle import Event
from edgefleet_agent.records import InstalledModel
from edgefleet_protocol.fields import Count, Digest
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.messages import Slot
from edgefleet_protocol.phases import FAILED, Phase

WORDS: dict[Event, str] = {
    "desired": "the controller asks for {wanted}",
    "nothing_wanted": "the model answers no more",
    "already_answering": "{what} answers already",
    "on_disk": "{what} is on the disk already",
    "accepted": "{what} fits this device and is fetched",
    "refused": "{what} is refused",
    "no_space": "there is no room for {what}, which waits",
    "room": "there may be room for {what} now",
    "downloaded": "all of {what} has arrived and matches its digests",
    "unpacked": "{what} is in a slot of its own",
    "activate": "{what} is to answer, and is tested first",
    "told": "the controller {tells} the switch",
    "passed": "{what} passed its self-test and answers on trial",
    "held": "{what} held its trial and is committed",
    "failed": "{what} failed",
    "failed_alone": "{what} failed, and no other variant is there to answer",
    "superseded": "{what} gives way",
    "restarted": "the agent has started again",
    "looping": "the agent has started with {what} too often",
}
"""What each event means to people."""


class Transition(BaseModel):
    """One transition of one model; lines of older agents have no `before` and no `text`."""

    model_config = ConfigDict(frozen=True)

    ms: Count
    model: str
    generation: Count
    before: Phase | None = None
    phase: Phase
    variant: Digest | None = None
    model_version: Count | None = None
    reason: str | None = None
    text: str = ""

    def __str__(self) -> str:
        way = f"{self.before} -> {self.phase}" if self.before else self.phase
        return f"{self.model}, generation {self.generation}: {way}" + (f": {self.text}" if self.text else "")


def named(variant: str | None, version: int | None) -> str:
    """A variant as people read it."""
    short = f"({variant[:12]})" if variant else ""
    return " ".join(filter(None, [f"version {version}" if version else "a variant", short]))


def tell(
    model: str, event: Event, before: InstalledModel, after: InstalledModel, about: Manifest | None, ms: int
) -> Transition:
    """One transition, told.

    Args:
        model: its name.
        event: what happened.
        before: the record until then.
        after: the record from then on.
        about: the manifest of the attempt, once it is known.
        ms: when, by this machine's clock.
    """
    attempt = after.attempt
    variant = attempt.variant or (about.variant if about else None)
    slot = (before.slots | after.slots).get(variant or "")
    version = slot.model_version if slot else about.model_version if about else None
    what = named(variant, version) if variant else f"manifest {(attempt.manifest or '')[:12]}"
    tells = "asks for" if after.desired.activate else "withdraws"
    told = WORDS[event].format(what=what, tells=tells, wanted=_wanted(after))
    if attempt.reason:
        told += f" ({': '.join(filter(None, [attempt.reason, attempt.detail]))})"
    return Transition(
        ms=ms,
        model=model,
        generation=attempt.generation,
        before=before.attempt.phase,
        phase=attempt.phase,
        variant=variant,
        model_version=version,
        reason=attempt.reason,
        text=" ".join((told + _beside(after)).split()),
    )


def _wanted(after: InstalledModel) -> str:
    if after.desired.manifest is None:
        return "no variant"
    again = f", for {named(after.lost.variant, None)} was lost" if after.lost else ""
    return f"manifest {after.desired.manifest[:12]}{again}"


def _beside(after: InstalledModel) -> str:
    """What answers beside the attempt's variant, where that matters."""
    phase, slot = after.attempt.phase, after.slot
    if phase == "trial":
        return f"; {_shown(slot)} waits behind it" if slot else "; nothing waits behind it"
    if phase in FAILED or phase == "superseded":
        return f"; {_shown(slot)} answers" if slot else "; nothing answers"
    return ""


def _shown(slot: Slot) -> str:
    return named(slot.variant, slot.model_version)
