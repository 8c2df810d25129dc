"""Figures as people read them: with their unit, and a dash where nothing was measured."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from edgefleet_contract.variants import VariantView

NONE = "–"
Quality = Literal["accuracy", "agreement"]


def now_ms() -> int:
    """Milliseconds UTC, by this machine's clock."""
    return time.time_ns() // 1_000_000


def share(value: float | None) -> str:
    """A share, 0 to 1, as per cent."""
    return NONE if value is None else f"{value:.1%}".replace("%", " %")


def ms(value: float | None) -> str:
    """Milliseconds; below one, the digits that matter."""
    return NONE if value is None else f"{value:.3f} ms" if value < 1 else f"{value:,.2f} ms"


def size(value: float | None) -> str:
    """Bytes, in decimal units."""
    if value is None:
        return NONE
    for unit, at_least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e4)):
        if value >= at_least:
            return f"{value / (1e3 if unit == 'kB' else at_least):,.1f} {unit}"
    return f"{value:,.0f} B"


def count(value: float | None) -> str:
    """A number of things."""
    return NONE if value is None else f"{value:,.0f}"


def number(value: object, unit: str = "") -> str:
    """Any figure with a unit, if it has one."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1e4
        else f"{value:,}"
        if isinstance(value, int | float)
        else str(value)
    )
    return f"{text} {unit}".rstrip()


def span(seconds: float | None) -> str:
    """A time span in the two units that matter."""
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


def when(at_ms: int | None) -> str:
    """A moment, in UTC."""
    return NONE if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago a moment was."""
    return f"{span(max(0, now_ms - at_ms) / 1000)} ago"


def short(variant: str | None) -> str:
    """A variant's id as tables show it; commands take it back."""
    return variant[:12] if variant else NONE


def marked(name: str, simulated: bool) -> str:
    """A name, marked where it is simulated."""
    return f"{name} (sim)" if simulated else name


def quality(variants: Iterable[VariantView]) -> Quality:
    """What tells how good variants are: accuracy, or, where there were no labels, agreement with the source model."""
    known = list(variants)
    unlabelled = all(v.accuracy is None for v in known) and any(v.agreement is not None for v in known)
    return "agreement" if unlabelled else "accuracy"


def score(variant: VariantView, good: Quality) -> float | None:
    """How good a variant is on test, a share; None where that was not measured."""
    return variant.accuracy if good == "accuracy" else variant.agreement
