"""How findings raise, refresh and end alerts, and when a completed rollout is watched: pure rules."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.rollouts import ExecutionRecord, Gate, Judgement
from edgefleet_controller.alerts import KINDS, REFRESH_MS, WORSE_AFTER_ROLLOUT, Finding, reconciled
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.watching import GONE, HOUR_MS, findings, is_watched, over, watched_until_ms

HERE, THERE = "eu/rpi4/lte", "jp/rpi5/wifi"
FINDING = Finding(WORSE_AFTER_ROLLOUT, "01", "accuracy", HERE, "33 % against 90 %")
Rollouts = Callable[..., RolloutRecord]
Executions = Callable[..., ExecutionRecord]


def raised(at_ms: int = 1000) -> AlertRecord:
    (alert,) = reconciled([], [FINDING], {}, at_ms)
    return alert


def judgement(outcome: str, check: str = "accuracy", profile: str = HERE) -> Judgement:
    return Judgement.model_validate({"check": check, "profile": profile, "outcome": outcome, "words": outcome})


def completed(rollout: Rollouts, watch_h: float = 24) -> RolloutRecord:
    changes = {"state": "completed", "changed_ms": HOUR_MS}
    return rollout("passed", gate=Gate(watch_h=watch_h)).model_copy(update=changes)


def test_every_kind_says_what_it_means_and_what_to_do() -> None:
    for name, kind in KINDS.items():
        assert name == kind.name
        assert kind.means and kind.do.format(rollout="r", check="c", profile="p")


def test_every_kind_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text()
    assert all(f"`{name}`" in page for name in KINDS)


def test_a_finding_raises_an_alert_that_says_what_to_do() -> None:
    alert = raised()
    assert (alert.kind, alert.rollout, alert.check, alert.profile) == ("worse_after_rollout", "01", "accuracy", HERE)
    assert (alert.id, alert.state) == (f"worse_after_rollout:01:accuracy:{HERE}", "open")
    assert (alert.text, alert.first_ms, alert.last_ms) == ("33 % against 90 %", 1000, 1000)
    assert alert.do.endswith("to go back: `edgefleet rollout rollback 01`")


def test_a_finding_that_lasts_stays_one_alert_and_is_written_once_a_minute() -> None:
    worse = FINDING._replace(text="30 % against 90 %")
    assert reconciled([raised()], [worse], {}, 1000 + REFRESH_MS - 1) == []
    (again,) = reconciled([raised()], [worse], {}, 1000 + REFRESH_MS)
    assert again == raised().model_copy(update={"text": worse.text, "last_ms": 1000 + REFRESH_MS})


def test_an_alert_ends_with_its_reason_and_only_if_nothing_is_found() -> None:
    alert = raised()
    assert reconciled([alert], [], {}, 2000) == [], "nothing was looked at"
    assert reconciled([alert], [FINDING], {alert.id: GONE}, 2000) == []
    (ended,) = reconciled([alert], [], {alert.id: GONE}, 2000)
    assert (ended.state, ended.ended_ms, ended.ended_because) == ("ended", 2000, GONE)
    assert reconciled([ended], [], {alert.id: "something else"}, 3000) == [], "it has ended once"
    (anew,) = reconciled([ended], [FINDING], {}, 4000)
    assert (anew.id, anew.state, anew.first_ms) == (alert.id, "open", 4000)


def test_findings_of_two_checks_and_profiles_are_alerts_of_their_own() -> None:
    others = [FINDING, FINDING._replace(check="errors"), FINDING._replace(profile=THERE)]
    assert len({alert.id for alert in reconciled([], others, {}, 1)}) == 3


@pytest.mark.parametrize(("hours", "watched"), [(0, False), (1, True), (2, False)], ids=["0 h", "in time", "over"])
def test_a_completed_rollout_is_watched_for_its_hours(rollout: Rollouts, hours: float, watched: bool) -> None:
    record = completed(rollout, watch_h=hours and 1)
    assert is_watched(record, [], round(HOUR_MS * (hours or 1)) + (hours == 1)) == watched
    assert watched_until_ms(record) == HOUR_MS + (HOUR_MS if hours else 0)


def test_it_is_watched_longer_while_an_alert_of_its_own_is_open(rollout: Rollouts) -> None:
    record, late = completed(rollout), 1000 * HOUR_MS
    other = raised().model_copy(update={"rollout": "02"})
    ended = raised().model_copy(update={"ended_ms": 1})
    assert is_watched(record, [raised()], late)
    assert not is_watched(record, [other, ended], late)


@pytest.mark.parametrize("state", ["running", "paused", "rolling_back", "rolled_back", "cancelled"])
def test_a_rollout_that_has_not_completed_is_not_watched(rollout: Rollouts, state: str) -> None:
    record = completed(rollout).model_copy(update={"state": state})
    assert not is_watched(record, [raised()], HOUR_MS + 1)
    assert watched_until_ms(record) is None


def test_what_speaks_against_a_variant_is_a_finding_and_what_was_not_judged_is_none(rollout: Rollouts) -> None:
    outcomes = ("passed", "failed", "inconclusive", "not_judged")
    found = findings(completed(rollout), [judgement(outcome) for outcome in outcomes])
    assert [(f.rollout, f.text) for f in found] == [("01", "failed"), ("01", "inconclusive")]


@pytest.mark.parametrize(
    ("judged", "moved_on", "state", "why"),
    [
        ("passed", {}, "completed", GONE),
        ("not_judged", {}, "completed", None),
        ("failed", {}, "completed", None),
        ("not_judged", {"a": "02"}, "completed", None),
        ("passed", {"a": "02", "b": "03"}, "completed", "rollout 03 has replaced the variant"),
        ("failed", {}, "rolling_back", "the rollout is rolling_back"),
    ],
    ids=["it passes", "nobody looked", "it fails still", "on one of two", "on both", "rolled back"],
)
def test_an_alert_ends_when_the_check_passes_or_nothing_runs_the_variant(
    rollout: Rollouts, execution: Executions, judged: str, moved_on: dict[str, str], state: str, why: str | None
) -> None:
    record = completed(rollout).model_copy(update={"state": state})
    members = [execution(device, "committed", directive="activate") for device in "ab"]
    members.append(execution("z", "committed", directive="activate", profile=THERE))
    ends = over(record, [raised()], members, moved_on, [judgement(judged), judgement("passed", "errors")])
    assert ends == ({raised().id: why} if why else {})


def test_an_alert_ends_when_every_device_of_its_profile_was_removed(rollout: Rollouts, execution: Executions) -> None:
    gone = [execution("a", "committed", directive="activate", removed_ms=5)]
    assert over(completed(rollout), [raised()], gone, {}, []) == {raised().id: "no device runs the variant any more"}
