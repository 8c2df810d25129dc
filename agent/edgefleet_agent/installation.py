"""One model on this device: events go through the lifecycle table; the effects are carried out here."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from edgefleet_agent.answering import Answering, Placed, Trouble
from edgefleet_agent.checks import check_manifest, check_space
from edgefleet_agent.device import Device
from edgefleet_agent.download import Download, synced_chunks_of, unpack
from edgefleet_agent.errors import AgentError, Refused
from edgefleet_agent.events import InTrouble, SelfTested, Started, Unpacked
from edgefleet_agent.failpoints import reach
from edgefleet_agent.lifecycle import ASSIGNED, Effect, Event, on_the_way, step
from edgefleet_agent.records import ModelRecord
from edgefleet_agent.self_test import SelfTest
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import BlobRef, Encoding, Manifest, verify
from edgefleet_protocol.messages import Attempt, DesiredModel, Slot, Transfer
from edgefleet_protocol.phases import ENDED, Phase, ReasonCode

MAX_TRIES = 5
START_AGAIN_S = 5.0
MAX_START_AGAIN_S = 60.0


class Installation:
    """One model on this device.

    Args:
        model: its name.
        device: what all models share.
        on_change: told after every transition, once it is saved.
    """

    def __init__(self, model: str, device: Device, on_change: Callable[[str, Effect], None]) -> None:
        self.model, self._device, self._on_change = model, device, on_change
        self.answering = Answering(lambda trouble: device.post(InTrouble(model, trouble)))
        self.record: ModelRecord | None = device.records.models.get(model)
        self._download: Download | None = None
        self._plan: tuple[Manifest, Encoding] | None = None
        self._candidate: Placed | None = None
        self._testing: SelfTest | None = None
        self._checking: threading.Thread | None = None
        self._trial_ends_s = 0.0
        self._start_at_s: float | None = None
        self._start_pause_s = START_AGAIN_S
        self._effects: dict[Effect, Callable[[], None]] = {
            "none": lambda: None,
            "inspect": self._inspect,
            "stop_answering": self._stop_answering,
            "adopt": self._adopt,
            "download": self._fetch,
            "unpack": self._unpack,
            "settle": self._settle,
            "self_test": self._self_test,
            "start_trial": self._start_trial,
            "commit": self._commit,
            "clear": self._clear,
            "roll_back": self._roll_back,
            "fall_silent": self._roll_back,
        }

    # ---- what comes in -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Take up the record that the last run left behind."""
        if self.record is None:
            return
        if self.record.answering:
            self._start_answering()
        attempt = self.record.attempt
        if not on_the_way(attempt.phase):
            self._device.tidy()
        elif attempt.phase in ("self_test", "trial"):
            detail = f"the agent was ended in {attempt.phase}, and this generation is not tried again"
            self._apply("restarted", reason="interrupted", detail=detail)
        else:
            self._resume(self.record)

    def _resume(self, record: ModelRecord) -> None:
        attempt = record.attempt
        # A slow link and frequent power cuts are no loop: tries are counted from the last progress of a download.
        synced = record.synced_chunks
        if attempt.phase == "downloading" and attempt.manifest:
            synced = synced_chunks_of(self._device.downloads, attempt.manifest)
        tries = 1 if synced > record.synced_chunks else attempt.tries + 1
        if tries > MAX_TRIES:
            self._apply("looping", reason="looping", detail=f"{attempt.tries} tries came to nothing")
        else:
            self._apply("restarted", attempt={"tries": tries}, synced_chunks=synced)

    def desire(self, desired: DesiredModel) -> None:
        """Take what the controller wants; what is old or has been dealt with changes nothing."""
        known = self.record
        if known and desired.generation <= known.desired.generation:
            if known.is_activated_by(desired):
                self._apply("activate", desired=desired)
            return
        if known and on_the_way(known.attempt.phase):
            self._apply("superseded", detail=f"by generation {desired.generation}")
        attempt = Attempt(
            generation=desired.generation, rollout=desired.rollout, manifest=desired.manifest, phase=ASSIGNED
        )
        fresh = {"desired": desired, "attempt": attempt, "synced_chunks": 0}
        self.record = self.record.model_copy(update=fresh) if self.record else ModelRecord.model_validate(fresh)
        self._apply("desired")

    def unpacked(self, event: Unpacked) -> None:
        """The download has become a slot, or not."""
        if not self._awaits(event.generation, "verified"):
            return
        if event.refused:
            self._fail(event.refused)
            return
        manifest = self._candidate_manifest()
        self._apply("unpacked", slots=self._now.slots | {manifest.variant: self._slot(manifest)})

    def self_tested(self, event: SelfTested) -> None:
        """The candidate has answered the golden set, or not."""
        if not self._awaits(event.generation, "self_test"):
            if event.placed:
                event.placed.kill()
            return
        self._testing = None
        if event.refused:
            self._fail(event.refused)
        else:
            self._candidate = event.placed
            self._apply("passed")

    def in_trouble(self, trouble: Trouble) -> None:
        """The variant failed in its trial; whoever asked has been answered by the old one already."""
        if self._awaits(trouble.slot.generation, "trial"):
            event: Event = "failed" if self._now.answering else "failed_alone"
            self._apply(event, reason=trouble.reason, detail=trouble.detail)

    def started(self, event: Started) -> None:
        """The answering variant's worker is there after a start of the agent, or is not."""
        current = self.record and self.record.answering
        wanted = event.placed and event.placed.slot.variant == current and self.answering.live is None
        if event.placed and current and wanted:
            event.placed.slot = self._now.slots[current]
            self._start_pause_s = START_AGAIN_S
            self.answering.serve(event.placed)
            self._on_change(self.model, "adopt")
        elif event.placed:
            event.placed.kill()
        elif current:
            self._start_at_s = time.monotonic() + self._start_pause_s
            self._start_pause_s = min(self._start_pause_s * 2, MAX_START_AGAIN_S)

    def tick(self, now_s: float) -> float:
        """What time brings: the end of a trial, a worker that has to be started again; gives the next such time."""
        self._look_after_worker()
        in_trial = bool(self.record and self.record.attempt.phase == "trial")
        if in_trial and now_s >= self._trial_ends_s:
            self._end_trial()
        elif self._start_at_s is not None and now_s >= self._start_at_s:
            self._start_answering()
        elif in_trial:
            return self._trial_ends_s
        return math.inf

    def _look_after_worker(self) -> None:
        """Start a worker that died between two requests; in a trial its death is the end of the trial."""
        live = self.answering.live
        if live is None or live.worker.alive or (self._checking and self._checking.is_alive()):
            return
        self._checking = _in_background(self.answering.check)

    def stop(self) -> None:
        """End every worker and keep what has been downloaded."""
        if self._download:
            self._download.stop()
        if self._testing:
            self._testing.cancel()
        self.answering.stop()

    @property
    def transfer(self) -> Transfer | None:
        """How the bytes of the attempt arrived, so far."""
        if self._download:
            return self._download.transfer
        return self.record.attempt.transfer if self.record else None

    # ---- the table ---------------------------------------------------------------------------------------------

    def _apply(
        self,
        event: Event,
        reason: ReasonCode | None = None,
        detail: str | None = None,
        attempt: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """One transition: look it up, save it, write it down, and only then act."""
        before = self._now
        phase, effect = step(before.attempt.phase, event)
        told = {"phase": phase, "reason": reason, "detail": detail, "transfer": self.transfer}
        after = before.model_copy(
            update=changes | {"attempt": before.attempt.model_copy(update=told | (attempt or {}))}
        )
        ended = phase in ENDED and phase != "superseded"
        if ended:
            kept = {v: slot for v, slot in after.slots.items() if v in (after.answering, after.previous)}
            after = after.model_copy(update={"slots": kept})
        self.record = after
        self._device.records.save(self.model, after)
        self._device.journal.append(self.model, after.attempt)
        self._effects[effect]()
        if ended:
            self._device.tidy()
        self._on_change(self.model, effect)

    def _fail(self, refused: Refused) -> None:
        self._apply("failed", reason=refused.reason, detail=str(refused)[:2000])

    def _awaits(self, generation: int, phase: Phase) -> bool:
        """Whether an event belongs to what is going on now; a superseded attempt's threads finish late."""
        record = self.record
        return bool(record and record.attempt.generation == generation and record.attempt.phase == phase)

    @property
    def _now(self) -> ModelRecord:
        assert self.record, "no event reaches a model before its first desired state"
        return self.record

    # ---- effects -------------------------------------------------------------------------------------------------

    def _inspect(self) -> None:
        wanted = self._now.desired.manifest
        if wanted is None:
            previous = self._now.answering or self._now.previous
            self._apply("nothing_wanted", answering=None, previous=previous)
            return
        known = next((slot for slot in self._now.slots.values() if slot.manifest == wanted), None)
        if known and self._device.slots.intact(known.variant):
            self._judge(self._device.slots.manifest_bytes(known.variant))
            return
        blob = BlobRef(sha256=wanted, size_bytes=self._now.desired.manifest_bytes)
        self._download = Download(self._device.downloads, blob, self._device.fetcher)
        self._download.fetch_manifest(self._judge, self._fail_manifest)

    def _fail_manifest(self, refused: Refused) -> None:
        if refused.reason == "blob_corrupt":
            self._apply("refused", reason="manifest_invalid", detail=str(refused))
        else:
            self._fail(refused)

    def _judge(self, manifest_bytes: bytes) -> None:
        device, wanted = self._device, self._now.attempt.manifest or ""
        try:
            manifest = verify(manifest_bytes, wanted)
            variant = {"variant": manifest.variant}
            encoding = check_manifest(manifest, self.model, device.facts, device.max_chunk_bytes)
            reach("manifest_checked")
            here = manifest.variant in self._now.slots and device.slots.intact(manifest.variant)
            if not here:
                check_space(manifest, encoding, device.free_bytes)
                reach("space_checked")
        except (ProtocolError, Refused) as error:
            reason: ReasonCode = error.reason if isinstance(error, Refused) else "manifest_invalid"
            self._apply("refused", reason=reason, detail=str(error)[:2000])
            return
        if not here:
            self._plan = (manifest, encoding)
            self._apply("accepted", attempt=variant)
            return
        device.slots.renew_manifest(manifest.variant, manifest_bytes)
        answers = manifest.variant == self._now.answering
        slots = self._now.slots | {manifest.variant: self._slot(manifest)}
        self._apply("already_answering" if answers else "on_disk", attempt=variant, slots=slots)

    def _fetch(self) -> None:
        if self._plan is None or self._download is None:
            self._pick_up()
            return
        manifest, encoding = self._plan
        self._download.fetch_rest(manifest, encoding, self._device.slots, lambda: self._apply("downloaded"), self._fail)

    def _pick_up(self) -> None:
        """Go on with a download of the last run: its manifest lies in its folder, and was judged then."""
        blob = BlobRef(sha256=self._now.attempt.manifest or "", size_bytes=self._now.desired.manifest_bytes)
        self._download = Download(self._device.downloads, blob, self._device.fetcher)
        self._download.fetch_manifest(self._plan_again, self._fail)

    def _plan_again(self, manifest_bytes: bytes) -> None:
        try:
            manifest = verify(manifest_bytes, self._now.attempt.manifest or "")
            encoding = check_manifest(manifest, self.model, self._device.facts, self._device.max_chunk_bytes)
        except (ProtocolError, Refused) as error:
            self._fail(error if isinstance(error, Refused) else Refused("manifest_invalid", str(error)))
            return
        self._plan = (manifest, encoding)
        self._fetch()

    def _unpack(self) -> None:
        self._clear()
        generation, manifest, device = self._now.attempt.generation, self._now.attempt.manifest or "", self._device

        def work() -> None:
            refused = None
            try:
                unpack(device.downloads, manifest, device.slots)
            except Refused as error:
                refused = error
            device.post(Unpacked(self.model, generation, refused))

        _in_background(work)

    def _settle(self) -> None:
        self._clear()
        if self._now.desired.activate:
            self._apply("activate")

    def _self_test(self) -> None:
        slot = self._slot(self._candidate_manifest())
        self._testing = SelfTest(self.model, slot, self._device)
        _in_background(self._testing.run)

    def _start_trial(self) -> None:
        assert self._candidate, "a trial begins with the candidate that passed its self-test"
        self._trial_ends_s = time.monotonic() + self._now.desired.trial_s
        self.answering.begin_trial(self._candidate)
        self._candidate = None

    def _end_trial(self) -> None:
        live = self.answering.live
        if live is None or not live.worker.alive:
            return  # its failure is in the inbox already, or is found at the next look
        live = self.answering.end_trial()
        if live and live.slot.variant == self._now.attempt.variant:
            self._apply("held", answering=live.slot.variant, previous=self._now.answering or self._now.previous)

    def _commit(self) -> None:
        self.answering.commit()

    def _adopt(self) -> None:
        self._clear()
        if self._now.answering:
            self.answering.adopt(self._now.slots[self._now.answering])

    def _clear(self) -> None:
        if self._download:
            self._download.stop()
            self._download = None
        self._plan = None
        if self._testing:
            self._testing.cancel()
            self._testing = None

    def _roll_back(self) -> None:
        self.answering.roll_back()
        if self.answering.live is None:
            self._start_answering()

    def _stop_answering(self) -> None:
        self._start_at_s = None
        self.answering.stop()

    def _start_answering(self) -> None:
        """Start the worker of the variant that the record says is answering."""
        self._start_at_s = None
        record, device = self.record, self._device
        slot = record.slots.get(record.answering) if record and record.answering else None
        if slot is None or self.answering.live is not None:
            return

        def work() -> None:
            placed, failed = None, None
            try:
                placed = device.start(slot)
            except AgentError as error:
                failed = error
            device.post(Started(self.model, placed, failed))

        _in_background(work)

    def _slot(self, manifest: Manifest) -> Slot:
        """The slot of this attempt's variant."""
        return Slot(
            variant=manifest.variant,
            manifest=self._now.attempt.manifest or "",
            model_version=manifest.model_version,
            generation=self._now.attempt.generation,
        )

    def _candidate_manifest(self) -> Manifest:
        manifest = self._device.slots.manifest(self._now.attempt.variant or "")
        assert manifest, "the slot of the candidate has been made"
        return manifest


def _in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
