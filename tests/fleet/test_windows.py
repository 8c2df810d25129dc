"""A real fleet of two regions, one of which has windows that open while the test runs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.windowed import REGION, minute, next_minute

pytestmark = pytest.mark.fleet


@pytest.fixture
def opens(tmp_path: Path, built: Path) -> datetime:
    """When the windows of `eu` open; all is built by then."""
    opens = next_minute()
    region = tmp_path / "catalogue" / "region"
    region.mkdir(parents=True)
    text = REGION.format(opens=minute(opens), closes=minute(opens + timedelta(minutes=30)))
    (region / "eu.toml").write_text(text)
    return opens


@pytest.fixture
def windowed(opens: datetime, built: Path, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(built, tmp_path) as running:
        yield running


@pytest.mark.slow
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
