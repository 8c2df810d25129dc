"""Takes snapshots of many devices with a few queries in all, rather than a few for each."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgefleet_contract.counted import counted
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.failpoints import reach
from edgefleet_controller.fleet.counts import Counted
from edgefleet_controller.fleet.desired_publisher import must_be_told
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.rollouts.rollout import after_report, after_report_of_return
from edgefleet_controller.rollouts.superseding import after_another
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.devices import KnownSender
from edgefleet_controller.store.contract.rollouts import Said
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows
from edgefleet_protocol.messages import Attempt, ReportedModel, ReportedState
from edgefleet_protocol.phases import ENDED

log = logging.getLogger(__name__)


@dataclass
class TakenReports:
    """The outcome of some reports: devices to tell their desired state, devices that are behind, and refusals."""

    to_tell: set[str] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


class Reports:
    """Stores snapshots and moves executions; the caller owns the transaction.

    Args:
        fleet: the fleet's store.
        identities: told of devices whose incarnation has changed or is in conflict.
        accept_all: whether every device that reports is accepted.
        max_pending: how many devices may wait to be accepted.
        counts: where `newer_phases` is counted.
        windows: when the devices of each region may fetch and switch.
    """

    def __init__(
        self,
        fleet: FleetStore,
        identities: Identities,
        counts: Counter[Counted],
        *,
        accept_all: bool,
        max_pending: int,
        windows: RegionWindows = NO_WINDOWS,
    ) -> None:
        self._fleet, self._identities, self._counts = fleet, identities, counts
        self._windows = windows
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
        taken.to_tell = {
            device
            for device, reported in ours.items()
            if must_be_told(asked.get(device, ()), reported, self._windows, now)
        }
        for _ in ours:
            reach("report_taken")
        return taken

    def _admit(self, known: Mapping[str, KnownSender], taken: TakenReports, now: int) -> set[str]:
        """The devices that belong to the fleet; new ones are refused if too many are pending."""
        devices = self._fleet.devices
        outside = [device for device, standing in known.items() if not standing.accepted]
        if self._accept_all:
            for device in outside:
                devices.admit(AdmissionRecord(device=device, accepted_ms=now))
            return set(known)
        if strangers := [device for device in outside if known[device].incarnation is None]:
            room = max(0, self._max_pending - devices.count_pending())
            why = f"{counted(self._max_pending, 'device')} already waiting to be accepted: accept or remove some"
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
                    log.warning("%s reports a phase that only newer agents know: %s", device, model.newer_phase)
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
    """The executions that a device's report of one model concerns, each before and after it."""
    attempt = model.attempt
    for execution in known:
        if attempt and (moved := after_another(execution, attempt, now)):
            yield execution, moved
            continue
        if execution.generation is None:
            continue
        if attempt and attempt.generation == execution.generation and attempt.rollout == execution.rollout:
            after = after_report(execution, attempt.phase, attempt.reason, _detail(attempt, model), now)
            transfer = attempt.transfer
            arrived = {"transfer_s": transfer.seconds, "transfer_bytes": transfer.bytes_done}
            yield execution, after.model_copy(update={**arrived, "transfer_total_bytes": transfer.bytes_total})
        elif attempt and attempt.generation == execution.back_generation and attempt.rollout == execution.rollout:
            yield execution, after_report_of_return(execution, attempt.phase, attempt.reason, now)
        elif model.newer_phase and execution.generation == model.generation:
            yield execution, execution.model_copy(update={"heard_ms": now})
        elif execution.generation < model.generation and execution.phase not in ENDED:
            yield execution, after_report(execution, "superseded", None, "replaced by a higher generation", now)


def _detail(attempt: Attempt, model: ReportedModel) -> str | None:
    """What is told of an attempt: its own words, or why its variant does not run as its manifest asks."""
    held = model.committed
    if attempt.detail or held is None or held.variant != attempt.variant or held.ran_on is None:
        return attempt.detail
    return f"it runs on {held.ran_on.told}" if held.ran_on.why else None


def _is_news(old: ExecutionRecord, new: ExecutionRecord) -> bool:
    """Whether a change must be stored; for an execution that has ended, a new `heard_ms` alone doesn't matter."""
    return new.phase not in ENDED or new.model_copy(update={"heard_ms": old.heard_ms}) != old
