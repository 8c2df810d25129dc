"""What devices report of themselves: many snapshots cost a few looks at the store, not a few each."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.desired_publisher import must_be_told
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.rollouts.rollout import after_report, after_report_of_return
from edgefleet_controller.rollouts.superseding import after_another
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.devices import KnownSender
from edgefleet_controller.store.contract.rollouts import Said
from edgefleet_protocol.messages import ReportedModel, ReportedState
from edgefleet_protocol.phases import ENDED

log = logging.getLogger(__name__)


@dataclass
class TakenReports:
    """What follows from some reports: who must be told what to run, whose were behind, and why some were refused."""

    to_tell: set[str] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


class Reports:
    """Keeps snapshots and moves executions; the caller owns the transaction.

    Args:
        fleet: where both are kept.
        identities: told of every device whose incarnation is not the one that reported last.
        accept_all: whether every device belongs to the fleet that reports.
        max_pending: how many may wait to be accepted.
        counts: `newer_phases` is counted here.
    """

    def __init__(
        self, fleet: FleetStore, identities: Identities, counts: Counter[str], *, accept_all: bool, max_pending: int
    ) -> None:
        self._fleet, self._identities, self._counts = fleet, identities, counts
        self._accept_all, self._max_pending = accept_all, max_pending

    def take(self, reports: Mapping[str, ReportedState], now: int) -> TakenReports:
        """Take one snapshot of each of these devices."""
        devices = self._fleet.devices
        taken, new = TakenReports(), dict(reports)
        known = devices.standings(reports)
        accepted = self._admit(known, taken, now)
        for device in taken.refused:
            del new[device]
        for device, reported in list(new.items()):
            standing = known[device]
            if standing.in_conflict or standing.incarnation not in (None, reported.incarnation):
                self._identities.hear(device, reported.incarnation, now)
            if standing.knows(reported):
                taken.behind.add(device)
                del new[device]
        devices.put_reports(new, now)
        ours = {device: reported for device, reported in new.items() if device in accepted}
        self._move(ours, now)
        asked = self._fleet.desired.of_each(ours)
        taken.to_tell = {device for device, reported in ours.items() if must_be_told(asked.get(device, ()), reported)}
        for _ in ours:
            reach("report_taken")
        return taken

    def _admit(self, known: Mapping[str, KnownSender], taken: TakenReports, now: int) -> set[str]:
        """Who of them belongs to the fleet; a stranger for whom there is no room is refused."""
        devices = self._fleet.devices
        outside = [device for device, standing in known.items() if not standing.accepted]
        if self._accept_all:
            for device in outside:
                devices.admit(AdmissionRecord(device=device, accepted_ms=now))
            return set(known)
        if strangers := [device for device in outside if known[device].incarnation is None]:
            room = max(0, self._max_pending - devices.count_pending())
            why = f"{self._max_pending} devices wait to be accepted already: accept or remove some"
            taken.refused = dict.fromkeys(strangers[room:], why)
        return known.keys() - outside

    def _move(self, reports: Mapping[str, ReportedState], now: int) -> None:
        """Move the executions that these reports are about."""
        said: list[Said] = []
        for device, reported in reports.items():
            for name, model in reported.models.items():
                said.append(Said(device, name, model.attempt.rollout if model.attempt else None))
                if model.newer_phase:
                    self._counts["newer_phases"] += 1
                    log.warning("%s is in a phase that only a newer agent knows: %s", device, model.newer_phase)
        found = self._fleet.rollouts.concerned(said)
        changed = [
            new
            for (device, name), executions in found.items()
            for old, new in _changed(executions, reports[device].models[name], now)
            if _is_news(old, new)
        ]
        self._fleet.rollouts.put_executions(changed)


def _changed(
    known: Iterable[ExecutionRecord], model: ReportedModel, now: int
) -> Iterable[tuple[ExecutionRecord, ExecutionRecord]]:
    """Executions that a device's word about one model concerns: as they were, and as they are now."""
    attempt = model.attempt
    for execution in known:
        if attempt and (moved := after_another(execution, attempt, now)):
            yield execution, moved
            continue
        if execution.generation is None:
            continue
        if attempt and attempt.generation == execution.generation and attempt.rollout == execution.rollout:
            after = after_report(execution, attempt.phase, attempt.reason, attempt.detail, now)
            transfer = attempt.transfer
            changes = {"transfer_s": transfer.seconds, "transfer_bytes": transfer.bytes_done}
            yield execution, after.model_copy(update=changes)
        elif attempt and attempt.generation == execution.back_generation and attempt.rollout == execution.rollout:
            yield execution, after_report_of_return(execution, attempt.phase, attempt.reason, now)
        elif model.newer_phase and execution.generation == model.generation:
            yield execution, execution.model_copy(update={"heard_ms": now})
        elif execution.generation < model.generation and execution.phase not in ENDED:
            yield execution, after_report(execution, "superseded", None, "a higher generation took its place", now)


def _is_news(old: ExecutionRecord, new: ExecutionRecord) -> bool:
    """Whether a report has to be written down: that an ended one is still heard of matters to nobody."""
    return new.phase not in ENDED or new.model_copy(update={"heard_ms": old.heard_ms}) != old
