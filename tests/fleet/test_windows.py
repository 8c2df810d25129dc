"""A real fleet whose regions have windows: one opens while the test runs, and one closes during a download."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import LAB_LINK, Fleet, running_fleet

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


THIN_KBPS, THICK_KBPS = 8, 20_000
STILL_S = 8.0
"""How long nothing moves after the window has closed; a chunk takes half of that on the thin line."""


def write_catalogue(catalogue: Path, opens: datetime, closes: datetime, down_kbps: int) -> None:
    """Windows for `eu`, and the speed of its lines."""
    for part in ("region", "link"):
        (catalogue / part).mkdir(parents=True, exist_ok=True)
    (catalogue / "region" / "eu.toml").write_text(REGION.format(opens=minute(opens), closes=minute(closes)))
    line = LAB_LINK.replace("down_kbps = 250", f"down_kbps = {down_kbps}")
    (catalogue / "link" / "ethernet.toml").write_text(line)


@pytest.fixture
def closes(tmp_path: Path) -> datetime:
    """When the windows of `eu` close: at the start of a minute, while a download over its thin line is under way."""
    closes = (datetime.now(UTC) + timedelta(seconds=SETTING_UP_S + 60)).replace(second=0, microsecond=0)
    write_catalogue(tmp_path / "catalogue", closes - timedelta(minutes=30), closes, THIN_KBPS)
    return closes


@pytest.fixture
def closing(closes: datetime, built: Path, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(built, tmp_path) as running:
        yield running


def test_a_download_stops_when_its_window_closes_and_goes_on_in_the_next(closing: Fleet, closes: datetime) -> None:
    agent = closing.add_agent("d", PROFILE)
    rollout = closing.roll_out()
    closing.wait(lambda: closing.attempt("d").get("transfer", {}).get("bytes_done"), "the first bytes", 90)
    assert datetime.now(UTC) < closes, "it took too long to set up"
    time.sleep((closes - datetime.now(UTC)).total_seconds() + STILL_S / 2)
    held = closing.wait(lambda: _held(closing), "the device to say that it waits")
    sent = closing.api.get("/health")["delivered_bytes"]
    time.sleep(STILL_S)
    later = _held(closing)
    assert later and later["bytes_done"] == held["bytes_done"] and 0 < held["bytes_done"] < held["bytes_total"]
    assert closing.api.get("/health")["delivered_bytes"] == sent, "nothing is sent to a window that is closed"
    assert not {"trial", "committed"} & set(agent.phases(1))
    (waits,) = closing.rollout(rollout)["waves"][0]["waits"]
    assert (waits["region"], waits["act"], waits["opens_ms"]) == ("eu", "fetch", _next(closes))

    write_catalogue(closing.catalogue, closes, closes + timedelta(minutes=30), THICK_KBPS)
    closing.controller.stop()
    closing.start_controller()
    closing.wait(lambda: closing.rollout(rollout)["state"] == "completed", "the rollout", 90)
    transfer = closing.attempt("d")["transfer"]
    assert transfer["bytes_done"] == transfer["bytes_total"] == held["bytes_total"], "what was there was kept"


def _held(fleet: Fleet) -> dict[str, int] | None:
    """How far a download is that waits for its window."""
    attempt = fleet.attempt("d")
    return attempt["transfer"] if attempt.get("reason") == "outside_window" else None


def _next(closes: datetime) -> float:
    """When the window opens again, in milliseconds UTC."""
    return (closes - timedelta(minutes=30) + timedelta(days=1)).timestamp() * 1000
