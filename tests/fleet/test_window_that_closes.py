"""A real fleet whose region's windows close during a download."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.windowed import next_minute, write_catalogue

pytestmark = pytest.mark.fleet

THIN_KBPS, THICK_KBPS = 8, 20_000
STILL_S = 8.0
"""How long nothing moves after the window has closed; a chunk takes half of that on the thin line."""


@pytest.fixture
def closes(tmp_path: Path, built: Path) -> datetime:
    """When the windows of `eu` close: while a download over its thin line is under way."""
    closes = next_minute()
    write_catalogue(tmp_path / "catalogue", closes - timedelta(minutes=30), closes, THIN_KBPS)
    return closes


@pytest.fixture
def closing(closes: datetime, built: Path, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(built, tmp_path) as running:
        yield running


@pytest.mark.slow  # over a minute; test_windows.py sees one open
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
