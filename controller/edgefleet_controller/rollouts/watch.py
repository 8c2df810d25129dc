"""The watch: looks at the evidence of completed rollouts, and raises and ends their alerts. It owns no devices."""

import logging
import time
from collections.abc import Callable, Collection, Sequence

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.rollouts import MAX_WATCH_H
from edgefleet_controller.alerts import WORSE_AFTER_ROLLOUT, reconciled
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts import watching
from edgefleet_controller.rollouts.examination import SHARE, Examinations
from edgefleet_controller.store import FleetStore
from edgefleet_controller.trouble import log_failure

log = logging.getLogger(__name__)

ROUND_S = 5.0
"""How long a round of looks is apart from the next, at least; devices report about once a minute."""


class CompletedWatch:
    """Looks at each watched rollout in rounds, which take at most a small share of the time.

    Args:
        fleet: the store.
        examinations: the evidence, shared with the conductor.
        monotonic_s: the monotonic clock, in seconds.
    """

    def __init__(
        self, fleet: FleetStore, examinations: Examinations, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._fleet, self._examinations, self._monotonic_s = fleet, examinations, monotonic_s
        self._active: frozenset[str] = frozenset()
        self._watched: list[RolloutRecord] = []
        self._due_s = float("-inf")
        self._replaced: set[str] = set()

    def regard(self, active: Collection[str], now_ms: int) -> frozenset[str]:
        """The rollouts that are watched now; call it in a transaction, with the active ones."""
        if self._active - set(active) or self._is_due():
            open_ = self._fleet.alerts.all(state="open")
            recent = self._fleet.rollouts.all("completed", changed_since_ms=now_ms - MAX_WATCH_H * watching.HOUR_MS)
            known = {rollout.id for rollout in recent}
            alerted = {a.rollout for a in open_ if a.kind == WORSE_AFTER_ROLLOUT.name and a.rollout}
            recent += [self._fleet.rollouts.get(id_) for id_ in sorted(alerted - known)]
            self._watched = [one for one in recent if self._is_watched(one, open_, now_ms)]
            self._replaced &= known
        self._active = frozenset(active)
        return frozenset(rollout.id for rollout in self._watched)

    def tick(self, now_ms: int) -> None:
        """Look at each watched rollout, if it is time; a failure in one does not hold up the others."""
        if not self._is_due():
            return
        began_s = self._monotonic_s()
        watched = {rollout.id for rollout in self._watched}
        left = [a.rollout for a in self._fleet.alerts.all(state="open") if a.kind == WORSE_AFTER_ROLLOUT.name]
        for rollout in sorted(watched | {id_ for id_ in left if id_ is not None}):
            try:
                self._look(rollout, now_ms)
            except Exception as error:
                log_failure(log, error, f"rollout {rollout} could not be watched")
        ended_s = self._monotonic_s()
        self._due_s = ended_s + max(ROUND_S, (ended_s - began_s) * SHARE)

    def _is_watched(self, rollout: RolloutRecord, alerts: Sequence[AlertRecord], now_ms: int) -> bool:
        return rollout.id not in self._replaced and watching.is_watched(rollout, alerts, now_ms)

    def _is_due(self) -> bool:
        return self._monotonic_s() >= self._due_s

    def _look(self, rollout_id: str, now_ms: int) -> None:
        with self._fleet.transaction():
            rollout = self._fleet.rollouts.get(rollout_id)
            executions = self._fleet.rollouts.live.of(rollout_id) if rollout.state == "completed" else []
            moved_on = self._fleet.rollouts.moved_on(rollout_id)
        running = watching.still_running(executions, moved_on)
        here = watching.profiles(running)
        if rollout.state == "completed" and not here:
            self._replaced.add(rollout_id)  # nothing is left to look at: keep no evidence of it
        judgements = self._examinations.judgements(rollout, running, len(rollout.waves)) if here else ()
        with self._fleet.transaction():
            rollout = self._fleet.rollouts.get(rollout_id)  # an order may have moved it meanwhile
            known = self._fleet.alerts.all(rollout=rollout_id)
            over = watching.over(rollout, known, executions, moved_on, judgements)
            found = watching.findings(rollout, judgements) if rollout.state == "completed" else []
            changed = reconciled(known, found, over, now_ms)
            self._fleet.alerts.put(*changed)
            for alert in changed:
                if alert.state == "ended":
                    self._fleet.audit.note(now_ms, "alert ended", rollout_id, f"{alert.text}; {alert.ended_because}")
                elif alert.first_ms == now_ms:
                    self._fleet.audit.note(now_ms, "alert raised", rollout_id, alert.text)
