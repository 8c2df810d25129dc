"""Alerts: which kinds there are, and how findings raise, refresh and end them; pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgefleet_contract.alerts import AlertRecord

REFRESH_MS = 60_000
"""How often an alert that lasts is written again, so that it costs little: devices report about once a minute."""


@dataclass(frozen=True)
class AlertKind:
    """A kind of alert.

    Args:
        name: its name in the API and in metrics.
        means: what was found, for the documentation.
        do: what to do about it; `{rollout}`, `{check}` and `{profile}` are filled in.
    """

    name: str
    means: str
    do: str


WORSE_AFTER_ROLLOUT = AlertKind(
    "worse_after_rollout",
    "a variant behaves worse than what ran before, found after its rollout had completed",
    "look at `edgefleet rollout show {rollout}`; to go back: `edgefleet rollout rollback {rollout}`",
)
KINDS: Mapping[str, AlertKind] = {kind.name: kind for kind in (WORSE_AFTER_ROLLOUT,)}
"""Every kind that there is."""


class Finding(NamedTuple):
    """What was found: the four that identify its alert, and its words."""

    kind: AlertKind
    rollout: str | None
    check: str | None
    profile: str | None
    text: str

    @property
    def alert(self) -> str:
        """The id of its alert."""
        return ":".join((self.kind.name, self.rollout or "", self.check or "", self.profile or ""))


def reconciled(
    known: Collection[AlertRecord], found: Collection[Finding], over: Mapping[str, str], now_ms: int
) -> list[AlertRecord]:
    """The alerts that change: new ones, ones seen again, and ended ones.

    Args:
        known: the alerts that the findings may be about, open or ended.
        found: what is found now.
        over: why alerts end, by id. An alert that is neither here nor found again stays open: nothing was looked at.
        now_ms: the time.
    """
    before = {alert.id: alert for alert in known}
    changed: list[AlertRecord] = []
    for finding in found:
        alert = before.get(finding.alert)
        if alert is None or alert.state == "ended":
            changed.append(_raised(finding, now_ms))
        elif now_ms - alert.last_ms >= REFRESH_MS:
            changed.append(alert.model_copy(update={"text": finding.text, "last_ms": now_ms}))
    seen = {finding.alert for finding in found}
    for id_, why in over.items():
        if (alert := before.get(id_)) and alert.state == "open" and id_ not in seen:
            changed.append(alert.model_copy(update={"ended_ms": now_ms, "ended_because": why}))
    return changed


def _raised(finding: Finding, now_ms: int) -> AlertRecord:
    kind, rollout, check, profile, text = finding
    return AlertRecord(
        id=finding.alert,
        kind=kind.name,
        rollout=rollout,
        check=check,
        profile=profile,
        text=text,
        do=kind.do.format(rollout=rollout, check=check, profile=profile),
        first_ms=now_ms,
        last_ms=now_ms,
    )
