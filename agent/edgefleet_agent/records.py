"""What the agent knows of each model, saved before it acts on it."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefleet_agent.failpoints import reach
from edgefleet_agent.files import replace_file
from edgefleet_agent.lifecycle import ASSIGNED, is_last_word
from edgefleet_profiles.names import Name
from edgefleet_protocol.fields import Digest
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.messages import Attempt, DesiredModel, Lost, Slot
from edgefleet_protocol.phases import Phase

STATE_VERSION = 1
MAX_TRIES = 5
BEFORE_THE_SWITCH: tuple[Phase, ...] = ("notified", "downloading", "verified", "staged")


class InstalledModel(BaseModel):
    """One model on this device: what is wanted, the state of the attempt, and what is on the disk.

    `answering` and `previous` are variants with a slot; during a trial `answering` is still the old one, to which a
    power cut leads back. `synced_chunks` is the progress of the download at the last start. `lost` is the variant
    that answered until its slot rotted; it stays until another one is committed.
    """

    model_config = ConfigDict(frozen=True)

    desired: DesiredModel
    attempt: Attempt
    answering: Digest | None = None
    previous: Digest | None = None
    slots: dict[Digest, Slot] = Field(default_factory=dict)
    synced_chunks: int = 0
    lost: Lost | None = None

    @property
    def has_committed(self) -> bool:
        """Whether a variant has been committed and is still wanted, even if its slot was lost since."""
        return bool(self.answering or self.lost)

    @property
    def slot(self) -> Slot | None:
        """The slot of the variant that answers."""
        return self.slots.get(self.answering) if self.answering else None

    @property
    def is_ready(self) -> bool:
        """Whether the attempt is to switch, and everything for it is here."""
        return self.attempt.phase == "staged" and self.desired.activate

    def is_told_by(self, desired: DesiredModel) -> bool:
        """Whether `desired` only asks for the switch of the attempt that is under way, or withdraws that in time."""
        mine = self.desired
        same = desired.generation == mine.generation and desired.manifest == mine.manifest
        return same and desired.activate != mine.activate and self.attempt.phase in BEFORE_THE_SWITCH


def begun(record: InstalledModel | None, desired: DesiredModel) -> InstalledModel:
    """A record at the start of an attempt."""
    attempt = Attempt(generation=desired.generation, rollout=desired.rollout, manifest=desired.manifest, phase=ASSIGNED)
    fresh = {"desired": desired, "attempt": attempt, "synced_chunks": 0}
    return record.model_copy(update=fresh) if record else InstalledModel.model_validate(fresh)


def kept_beside(record: InstalledModel) -> str | None:
    """The variant that answers if the one that is committed is lost, and keeps its slot; None if none may.

    It is the one that a rollback would return to. What answered until a rollback was rejected, as was what answers now
    if another one is to be kept: neither ever stands in.
    """
    if record.desired.at_once:
        return None
    if (keep := record.desired.keep) is not None:
        others = (v for v, slot in record.slots.items() if slot.manifest == keep != record.desired.manifest)
        return next(others, None)
    return record.answering or record.previous


def moved(before: InstalledModel, attempt: Mapping[str, Any], changes: Mapping[str, Any]) -> InstalledModel:
    """The record after a transition; once an attempt has ended, only what answers and what did before keep a slot.

    Args:
        before: the record until then.
        attempt: fields of its attempt that have changed, its phase among them.
        changes: fields of the record itself.
    """
    after = before.model_copy(update={**changes, "attempt": before.attempt.model_copy(update=dict(attempt))})
    if not is_last_word(after.attempt.phase):
        return after
    kept = {v: slot for v, slot in after.slots.items() if v in (after.answering, after.previous)}
    return after.model_copy(update={"slots": kept})


def tries_of(record: InstalledModel, synced_chunks: int, *, waits: bool) -> int:
    """How often an attempt that is resumed was tried; a download that has progressed starts counting from zero.

    A slow link with frequent power cuts is not a loop, and neither is waiting for room or, if it `waits`, for a window.
    """
    attempt = record.attempt
    if waits:
        return attempt.tries
    progressed = attempt.reason == "no_space" or synced_chunks > record.synced_chunks
    return 1 if progressed else attempt.tries + 1


def slot_of(manifest: Manifest, attempt: Attempt) -> Slot:
    """The slot of an attempt's variant."""
    return Slot(
        variant=manifest.variant,
        manifest=attempt.manifest or "",
        model_version=manifest.model_version,
        generation=attempt.generation,
    )


class Records(BaseModel):
    """The whole state file."""

    model_config = ConfigDict(frozen=True)

    version: int = STATE_VERSION
    models: dict[Name, InstalledModel] = Field(default_factory=dict)


class RecordFile:
    """The state file of a device: read once at the start, replaced at every change."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self.set_aside: str | None = None
        self.models: dict[str, InstalledModel] = dict(self._read().models)

    def _read(self) -> Records:
        try:
            return Records.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Records()
        except (ValidationError, ValueError) as error:
            # A device in the field must come back; the controller will tell it again what to run.
            self.set_aside = f"state.json cannot be read and was set aside as state.json.broken: {str(error)[:200]}"
            with suppress(OSError):
                self._path.replace(self._path.with_name("state.json.broken"))
            return Records()

    def save(self, model: str, record: InstalledModel) -> None:
        """Save one model's record durably.

        Raises:
            OSError: it cannot be saved; the old record stays.
        """
        reach("saving", record.attempt.phase)
        models = self.models | {model: record}
        told = Records(models=models).model_dump_json(exclude_none=True).encode()
        # An order to roll back must work on a full disk, too.
        replace_file(self._path, told, keep_room=True)
        self.models = models
        reach("saved", record.attempt.phase)
