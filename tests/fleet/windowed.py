"""Catalogues whose region `eu` has windows, in the minutes of today."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fleet.conftest import LAB_LINK

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


def next_minute() -> datetime:
    """The start of a minute that leaves time to set up."""
    return (datetime.now(UTC) + timedelta(seconds=SETTING_UP_S + 60)).replace(second=0, microsecond=0)


def write_catalogue(catalogue: Path, opens: datetime, closes: datetime, down_kbps: int) -> None:
    """Windows for `eu`, and the speed of its lines."""
    for part in ("region", "link"):
        (catalogue / part).mkdir(parents=True, exist_ok=True)
    (catalogue / "region" / "eu.toml").write_text(REGION.format(opens=minute(opens), closes=minute(closes)))
    line = LAB_LINK.replace("down_kbps = 250", f"down_kbps = {down_kbps}")
    (catalogue / "link" / "ethernet.toml").write_text(line)
