"""Formats figures for people: with their unit, and a dash for what was not measured."""

import time
from datetime import UTC, datetime

from edgefleet_contract.measures import MeasureView

NONE = "–"
SHOWN_WHOLE = 9999.5
"""Four digits tell enough of a figure; from here on, fewer digits than there are before the point would."""


def now_ms() -> int:
    """Read this machine's clock, in milliseconds UTC."""
    return time.time_ns() // 1_000_000


def share(value: float | None) -> str:
    """Format a share, 0 to 1, as a percentage."""
    return NONE if value is None else f"{value:.1%}".replace("%", " %")


def measured(value: float | None, measure: MeasureView) -> str:
    """Format a figure as its measure is counted."""
    return share(value) if measure.unit == "share" else number(value, "" if measure.unit == "number" else measure.unit)


def ms(value: float | None) -> str:
    """Format milliseconds, with more digits below one."""
    return NONE if value is None else f"{value:.3f} ms" if value < 1 else f"{value:,.2f} ms"


def size(value: float | None) -> str:
    """Format bytes in decimal units."""
    if value is None:
        return NONE
    for unit, at_least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e4)):
        if value >= at_least:
            return f"{value / (1e3 if unit == 'kB' else at_least):,.1f} {unit}"
    return f"{value:,.0f} B"


def count(value: float | None) -> str:
    """Format a number of things."""
    return NONE if value is None else f"{value:,.0f}"


def number(value: object, unit: str = "") -> str:
    """Format any figure, with its unit if it has one."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(number, value)) or NONE
    if isinstance(value, float):
        text = f"{value:,.4g}" if abs(value) < SHOWN_WHOLE else f"{value:,.0f}"
    else:
        text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{text} {unit}".rstrip()


def span(seconds: float | None) -> str:
    """Format a time span in the unit that fits."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{round(seconds / 86400)} days"


def progress(done_bytes: int | None, total_bytes: int | None, seconds: float | None) -> str:
    """Format how much has arrived, of how much if it is not all, and in what time."""
    if done_bytes is None:
        return NONE
    of = f" of {size(total_bytes)}" if total_bytes is not None and done_bytes < total_bytes else ""
    return f"{size(done_bytes)}{of} in {span(seconds)}"


def when(at_ms: int | None) -> str:
    """Format a moment in UTC."""
    return NONE if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(at_ms: int, now_ms: int) -> str:
    """Format how long ago a moment was."""
    return f"{span(max(0, now_ms - at_ms) / 1000)} ago"


def short(variant: str | None) -> str:
    """Shorten a variant's id for tables; commands accept the short id."""
    return variant[:12] if variant else NONE


def marked(name: str, simulated: bool) -> str:
    """Mark a name as simulated, if it is."""
    return f"{name} (sim)" if simulated else name
