"""The command line says when a device may fetch and switch, and for whom a wave waits."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.service import running_service

from edgefleet_controller.service import Service
from edgefleet_profiles.errors import CatalogueError

REGION = """title = "where the windows of tomorrow open"
timezone = "{timezone}"
usd_per_kwh = 0.2
g_co2_per_kwh = 240
may_leave = ["counts"]
delivery_window = {{ from_minute = {opens}, to_minute = {closes} }}

[sources]
usd_per_kwh = "estimate: made for tests"
g_co2_per_kwh = "estimate: made for tests"
"""
OPENS = (datetime.now(UTC) + timedelta(hours=6)).replace(minute=30, second=0, microsecond=0)


def catalogue(folder: Path, timezone: str = "UTC") -> Path:
    (folder / "region").mkdir(parents=True)
    opens = OPENS.hour * 60 + 30
    (folder / "region" / "eu.toml").write_text(
        REGION.format(timezone=timezone, opens=opens, closes=(opens + 60) % 1440)
    )
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service whose catalogue has a window for `eu`, closed for hours to come."""
    with running_service(tmp_path / "state", profiles=catalogue(tmp_path / "own")) as running:
        yield running


def test_profile_plan_and_rollout_say_when_devices_may_fetch(operator, join, published: str) -> None:
    window = f"{OPENS:%H:%M} to {OPENS + timedelta(hours=1):%H:%M} in UTC"
    shown = operator.types("profile", "show", "eu/rpi4/lte").stdout
    assert f"{window}: opens {OPENS:%Y-%m-%d %H:%M:%SZ}" in shown
    assert "none: at any time" in operator.types("profile", "show", "na/rpi4/lte").stdout
    (told,) = operator.reads("profile", "show", "eu/rpi4/lte")["windows"]
    assert (told["region"], told["act"], told["open"]) == ("eu", "fetch", False)
    assert told["intervals"][0]["from_ms"] == OPENS.timestamp() * 1000
    join("a")
    words = (published, "--all", "--waves", "100%")
    assert window in operator.types("rollout", "plan", *words).stdout
    assert operator.reads("rollout", "plan", *words)["windows"] == [told]
    started = operator.reads("rollout", "start", *words)
    until = time.monotonic() + 30
    while not (found := operator.reads("rollout", "show", started["id"]))["waves"][0]["waits"]:
        assert time.monotonic() < until, "the wave never said that it waits"
    (waits,) = found["waves"][0]["waits"]
    assert waits == {"region": "eu", "act": "fetch", "devices": 1, "opens_ms": OPENS.timestamp() * 1000}
    line = f"wave 1 waits: 1 device in eu may fetch from {OPENS:%Y-%m-%d %H:%M:%SZ}"
    assert line in operator.types("rollout", "show", started["id"]).stdout
    assert found["windows"] == [told]


def test_a_time_zone_that_nobody_knows_keeps_a_controller_from_starting(tmp_path: Path) -> None:
    own = catalogue(tmp_path / "own", "Europe/Atlantis")
    with (
        pytest.raises(CatalogueError, match="there is no time zone 'Europe/Atlantis'"),
        running_service(tmp_path / "state", profiles=own),
    ):
        pass
