"""A real fleet whose regions have windows: one opens while the test runs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Fleet, running_fleet

pytestmark = pytest.mark.fleet

REGION = """title = "where a window opens soon"
timezone = "UTC"
usd_per_kwh = 0.2
g_co2_per_kwh = 240
may_leave = ["counts", "aggregates"]
delivery_window = {{ from_minute = {opens}, to_minute = {closes} }}
activation_window = {{ from_minute = {opens}, to_minute = {closes} }}

[sources]
usd_per_kwh = "estimate: made for tests"
g_co2_per_kwh = "estimate: made for tests"
"""
SETTING_UP_S = 30


def minute(at: datetime) -> int:
    return at.hour * 60 + at.minute


@pytest.fixture
def opens(tmp_path: Path) -> datetime:
    """When the windows of `eu` open: at the start of a minute that leaves time to set up."""
    soon = datetime.now(UTC) + timedelta(seconds=SETTING_UP_S + 60)
    opens = soon.replace(second=0, microsecond=0)
    region = tmp_path / "catalogue" / "region"
    region.mkdir(parents=True)
    text = REGION.format(opens=minute(opens), closes=minute(opens + timedelta(minutes=30)))
    (region / "eu.toml").write_text(text)
    return opens


@pytest.fixture
def windowed(opens: datetime, built: Path, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(built, tmp_path) as running:
        yield running


def test_nothing_is_sent_before_the_window_opens_and_then_all_goes_its_way(windowed: Fleet, opens: datetime) -> None:
    agent = windowed.add_agent("inside", PROFILE)
    windowed.add_agent("outside", "na/x86-avx2/wifi")
    rollout = windowed.roll_out(timers={"trial_s": 0.5, "silent_s": 60, "staging_s": 5, "wave_s": 10})
    windowed.wait(lambda: windowed.executions(rollout)["outside"]["phase"] == "staged", "the one without a window")
    (wave,) = windowed.rollout(rollout)["waves"]
    (waits,) = wave["waits"]
    assert (waits["region"], waits["act"], waits["devices"]) == ("eu", "fetch", 1)
    assert waits["opens_ms"] == opens.timestamp() * 1000
    time.sleep(max(0.0, (opens - datetime.now(UTC)).total_seconds() - 1))
    assert windowed.executions(rollout)["inside"]["phase"] == "assigned"
    assert agent.journal == []
    assert windowed.rollout(rollout)["waves"][0]["state"] == "staging", "its timers do not run"
    windowed.wait(lambda: windowed.rollout(rollout)["state"] == "completed", "the rollout", 60)
    assert windowed.rollout(rollout)["counts"] == {"committed": 2}
    begun = min(entry["ms"] for entry in agent.journal)
    assert begun >= opens.timestamp() * 1000
