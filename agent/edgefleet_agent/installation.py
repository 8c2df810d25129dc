"""One model on this device: the lifecycle table decides, and this carries out the effects."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from edgefleet_agent.answering import Answering, Trouble
from edgefleet_agent.device import Device
from edgefleet_agent.disk_wait import DiskWait
from edgefleet_agent.download import Download, synced_chunks_of
from edgefleet_agent.errors import NoSpace, Rejected, SlotRotten
from edgefleet_agent.events import InTrouble, SelfTested, Started, Unpacked
from edgefleet_agent.judging import fitting, judge, renew, verified
from edgefleet_agent.lifecycle import Effect, Event, is_last_word, on_the_way, step
from edgefleet_agent.placed import Placed
from edgefleet_agent.records import MAX_TRIES, InstalledModel, begun, kept_beside, moved, slot_of, tries_of
from edgefleet_agent.self_test import SelfTest
from edgefleet_agent.slot_loss import fetched_again, without
from edgefleet_agent.telling import Transition, tell
from edgefleet_agent.transitions import Transitions
from edgefleet_agent.unpacking import Unpacking
from edgefleet_agent.worker_restart import WorkerRestart, in_background
from edgefleet_process.clocks import wall_ms
from edgefleet_profiles.parts import Act
from edgefleet_protocol.manifest import Encoding, Manifest
from edgefleet_protocol.messages import DesiredModel, Lost, Transfer
from edgefleet_protocol.phases import Phase, ReasonCode


class Installation:
    """One model on this device.

    Args:
        model: its name.
        device: what all models share.
        on_change: called after every transition, once it is saved.
    """

    def __init__(self, model: str, device: Device, on_change: Callable[[str, Effect], None]) -> None:
        self.model, self._device, self._on_change = model, device, on_change
        self.answering = Answering(lambda trouble: device.post(InTrouble(model, trouble)))
        self.record: InstalledModel | None = device.records.models.get(model)
        self._download: Download | None = None
        self._about: Manifest | None = None  # of the attempt, once it has been read
        self._plan: tuple[Manifest, Encoding] | None = None
        self._candidate: Placed | None = None
        self._testing: SelfTest | None = None
        self._trial_ends_s = 0.0
        self._worker_restart = WorkerRestart(
            model, device, self.answering, lambda: self.record.slot if self.record else None
        )
        self._transitions, self._need_bytes = Transitions(model), 0
        self._disk_wait = DiskWait(lambda: device.free_bytes)
        self._effects: dict[Effect, Callable[[], None]] = {
            "none": lambda: None,
            "inspect": self._inspect,
            "wait": self._wait,
            "stop_answering": self._stop_answering,
            "adopt": self._adopt,
            "download": self._fetch,
            "unpack": self._unpack,
            "settle": self._settle,
            "self_test": self._self_test,
            "start_trial": self._start_trial,
            "commit": self.answering.commit,
            "clear": self._clear,
            "roll_back": self._roll_back,
            "fall_silent": self._roll_back,
        }

    def wake(self) -> None:
        """Resume from the record of the last run."""
        if self.record is None:
            return
        self._worker_restart.start()
        attempt = self.record.attempt
        if not on_the_way(attempt.phase):
            self._make_good()
        elif attempt.phase in ("self_test", "trial"):
            detail = f"the agent ended during {attempt.phase}; this generation is not tried again"
            self._apply("restarted", reason="interrupted", detail=detail)
        else:
            self._resume(self.record)

    def _resume(self, record: InstalledModel) -> None:
        attempt, synced = record.attempt, record.synced_chunks
        if attempt.phase == "downloading" and attempt.manifest:
            synced = synced_chunks_of(self._device.downloads, attempt.manifest)
        tries = tries_of(record, synced, waits=self._device.must_wait(record))
        if tries > MAX_TRIES:
            self._apply("looping", reason="looping", detail=f"gave up after {attempt.tries} tries")
        else:
            self._apply("restarted", attempt={"tries": tries}, synced_chunks=synced)

    def desire(self, desired: DesiredModel) -> None:
        """Take what the controller wants; a generation that is old or done changes nothing."""
        known = self.record
        if known and desired.generation <= known.desired.generation and not self._transitions.stuck:
            if known.is_told_by(desired):
                told = {"reason": known.attempt.reason, "detail": known.attempt.detail}
                switches = known.attempt.phase == "staged" and desired.activate and self._may_switch
                self._apply("activate" if switches else "told", attempt=told, desired=desired)
            return
        if known and on_the_way(known.attempt.phase) and not self._transitions.stuck:
            self._apply("superseded", detail=f"by generation {desired.generation}")
        if self._transitions.stuck:
            self._transitions.last(lambda: self.desire(desired))
            return
        self._apply("desired", attempt={"transfer": Transfer()}, before=begun(self.record, desired))

    def unpacked(self, event: Unpacked) -> None:
        """The download has been unpacked into a slot, or was refused."""
        if not self._awaits(event.generation, "verified"):
            return
        if event.refused:
            self._fail(event.refused)
            return
        if manifest := self._candidate_manifest():
            self._apply("unpacked", slots=self._now.slots | {manifest.variant: slot_of(manifest, self._now.attempt)})

    def self_tested(self, event: SelfTested) -> None:
        """The candidate has passed its self-test, or was refused."""
        if not self._awaits(event.generation, "self_test"):
            if event.placed:
                event.placed.kill()
            return
        self._testing = None
        if event.refused:
            self._fail(event.refused)
        else:
            self._candidate = event.placed
            self._apply("passed", slots=self._now.slots | event.tested)

    def in_trouble(self, trouble: Trouble) -> None:
        """The variant failed in its trial; the old one has already answered the request."""
        if self._awaits(trouble.slot.generation, "trial"):
            event: Event = "failed" if self._now.answering else "failed_alone"
            self._apply(event, trouble.reason, trouble.detail, {"failure": trouble.failure})

    def started(self, event: Started) -> None:
        """The answering variant's worker has started, or has not."""
        if isinstance(event.error, SlotRotten):
            self._lose(event.slot.variant, event.error)
        elif self._worker_restart.started(event):
            self._on_change(self.model, "adopt")

    def _lose(self, variant: str, error: SlotRotten) -> None:
        """The answering slot has rotted: the previous variant answers, and the lost one is fetched again."""
        if self._transitions.stuck:
            self._transitions.behind(lambda: self._lose(variant, error))
        elif variant == self._now.answering:
            self.answering.drop(variant)
            after = without(self._now, variant, Lost(variant=variant, reason=error.reason, detail=str(error)))
            save = partial(self._device.records.save, self.model, after)
            self._transitions.take(save, partial(self._go_on_without, after))

    def _go_on_without(self, after: InstalledModel) -> None:
        self.record = after
        self._on_change(self.model, "roll_back")
        self._worker_restart.start()
        self._make_good()

    def _make_good(self) -> None:
        """Remove what is not needed, and fetch what is missing."""
        self._device.tidy()
        if again := fetched_again(self._now):
            self._apply("desired", attempt={"transfer": Transfer()}, before=again)

    def tick(self, now_s: float) -> float:
        """Handle what is due: the end of a trial, room on the disk, a dead worker. Returns the next such time."""
        self._worker_restart.tick(now_s)
        self._transitions.tick()
        if self._transitions.stuck:
            return math.inf
        if self._disk_wait.found(now_s):
            self._disk_wait.stop()
            self._apply("room")
        if self.record and self.record.is_ready and self._may_switch:
            self._apply("activate")
        if not (self.record and self.record.attempt.phase == "trial"):
            return math.inf
        if now_s >= self._trial_ends_s:
            self._end_trial()
            return math.inf
        return self._trial_ends_s

    def stop(self) -> None:
        """End every worker and keep what has been downloaded."""
        if self._download:
            self._download.stop()
        if self._testing:
            self._testing.cancel()
        self.answering.stop()

    @property
    def waits_for(self) -> Act | None:
        """What the attempt may not do until its window opens."""
        if (record := self.record) and record.is_ready and not self._device.may_switch(record.desired):
            return "switch"
        return "fetch" if self._download and self._download.held else None

    @property
    def _may_switch(self) -> bool:
        return self._device.may_switch(self._now.desired) and self._device.may_try(self.model)

    @property
    def trouble(self) -> str | None:
        """The error of the last save; None once the state is saved."""
        return self._transitions.trouble

    @property
    def transfer(self) -> Transfer | None:
        """The progress of the attempt's download."""
        if self._download:
            return self._download.transfer
        return self.record.attempt.transfer if self.record else None

    def _apply(
        self,
        event: Event,
        reason: ReasonCode | None = None,
        detail: str | None = None,
        attempt: dict[str, Any] | None = None,
        before: InstalledModel | None = None,
        **changes: Any,
    ) -> None:
        """Make one transition: look it up, save it, note it in the journal, and only then act."""
        before = before or self._now
        if self._transitions.stuck:
            at = (before.attempt.generation, before.attempt.phase)
            again = partial(self._apply, event, reason, detail, attempt, **changes)
            self._transitions.behind(lambda: again() if self._awaits(*at) else None)
            return
        self._about = None if event == "desired" else self._about
        phase, effect = step(before.attempt.phase, event)
        told = {"phase": phase, "reason": reason, "detail": detail, "failure": None, "transfer": self.transfer}
        after = moved(before, told | (attempt or {}), changes)
        line = tell(self.model, event, before, after, self._about, wall_ms())
        save = partial(self._device.records.save, self.model, after)
        self._transitions.take(save, lambda: self._act(after, effect, line))

    def _act(self, after: InstalledModel, effect: Effect, line: Transition) -> None:
        """Act on a record that is on the disk."""
        self.record = after
        self._device.journal.append(line)
        self._effects[effect]()
        if is_last_word(after.attempt.phase):
            self._device.tidy()
        self._on_change(self.model, effect)

    def _fail(self, refused: Rejected) -> None:
        self._need_bytes = refused.need_bytes if isinstance(refused, NoSpace) else 0
        event: Event = "no_space" if refused.reason == "no_space" else "failed"
        self._apply(event, refused.reason, str(refused)[:2000], {"failure": refused.failure})

    def _awaits(self, generation: int, phase: Phase) -> bool:
        """Whether an event belongs to the current attempt; threads of a superseded one finish late."""
        record = self.record
        return bool(record and record.attempt.generation == generation and record.attempt.phase == phase)

    @property
    def _now(self) -> InstalledModel:
        assert self.record, "no event reaches a model before its first desired state"
        return self.record

    # ---- effects -------------------------------------------------------------------------------------------------

    def _inspect(self) -> None:
        wanted = self._now.desired.manifest
        if wanted is None:
            self._apply("nothing_wanted", answering=None, previous=kept_beside(self._now))
            return
        known = next((slot for slot in self._now.slots.values() if slot.manifest == wanted), None)
        if known and self._device.slots.intact(known.variant):
            self._judge(self._device.slots.manifest_bytes(known.variant))
            return
        self._download = self._device.download_of(wanted, self._now.desired)
        self._download.fetch_manifest(self._judge, self._fail_manifest)

    def _fail_manifest(self, refused: Rejected) -> None:
        if refused.reason == "blob_corrupt":
            self._apply("refused", reason="manifest_invalid", detail=str(refused))
        else:
            self._fail(refused)

    def _judge(self, manifest_bytes: bytes) -> None:
        device = self._device
        try:
            self._about = manifest = verified(manifest_bytes, self._now.attempt)
            judged = judge(manifest, self.model, self._now, device)
        except NoSpace as error:
            self._fail(error)
            return
        except Rejected as error:
            self._apply("refused", reason=error.reason, detail=str(error)[:2000])
            return
        variant = {"variant": manifest.variant}
        if not judged.is_here:
            self._plan = (manifest, judged.encoding)
            self._apply("accepted", attempt=variant)
            return
        try:
            renew(judged, manifest_bytes, device)
        except NoSpace as error:
            self._fail(error)
            return
        answers = manifest.variant == self._now.answering
        slots = self._now.slots | {manifest.variant: judged.slot}
        self._apply("already_answering" if answers else "on_disk", attempt=variant, slots=slots)

    def _fetch(self) -> None:
        if self._plan is None or self._download is None:
            self._pick_up()
            return
        manifest, encoding = self._plan
        self._download.fetch_rest(manifest, encoding, self._device.slots, lambda: self._apply("downloaded"), self._fail)

    def _pick_up(self) -> None:
        """Resume a download of the last run; its manifest is in its folder and was checked then."""
        self._download = self._device.download_of(self._now.attempt.manifest or "", self._now.desired)
        self._download.fetch_manifest(self._plan_again, self._fail)

    def _plan_again(self, manifest_bytes: bytes) -> None:
        try:
            self._about = verified(manifest_bytes, self._now.attempt)
            self._plan = (self._about, fitting(self._about, self.model, self._device))
        except Rejected as error:
            self._fail(error)
            return
        self._fetch()

    def _unpack(self) -> None:
        self._clear()
        in_background(Unpacking(self.model, self._now.attempt, self._device).run)

    def _wait(self) -> None:
        self._clear()
        self._disk_wait.wait(self._need_bytes, time.monotonic())

    def _settle(self) -> None:
        self._clear()
        self._disk_wait.written()
        if self._now.desired.activate and self._may_switch:
            self._apply("activate")

    def _self_test(self) -> None:
        if manifest := self._candidate_manifest():
            self._testing = SelfTest(self.model, slot_of(manifest, self._now.attempt), self._device)
            in_background(self._testing.run)

    def _start_trial(self) -> None:
        assert self._candidate, "a trial begins with the candidate that passed its self-test"
        self._trial_ends_s = time.monotonic() + self._now.desired.trial_s
        self.answering.begin_trial(self._candidate)
        self._candidate = None

    def _end_trial(self) -> None:
        live = self.answering.live
        if live is None or not live.worker.alive:
            return  # its failure is already in the inbox, or the next check finds it
        if live.asked_since_s < self._trial_ends_s:
            return  # a request that came in the trial belongs to it: a variant that hangs has not held
        live = self.answering.end_trial()
        if live and live.slot.variant == self._now.attempt.variant:
            self._apply("held", answering=live.slot.variant, previous=kept_beside(self._now), lost=None)

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
        if self._candidate:
            self._candidate.kill()  # it passed, but was superseded before that could be saved
            self._candidate = None
        self._disk_wait.stop()

    def _roll_back(self) -> None:
        self.answering.roll_back()
        self._worker_restart.start()

    def _stop_answering(self) -> None:
        self._worker_restart.stop()
        self.answering.stop()

    def _candidate_manifest(self) -> Manifest | None:
        """The manifest in the candidate's slot; if it has rotted, fails the attempt and returns None."""
        manifest = self._device.slots.manifest(self._now.attempt.variant or "")
        if manifest is None:
            self._fail(Rejected("blob_corrupt", "the slot's manifest has changed on disk"))
        return manifest
