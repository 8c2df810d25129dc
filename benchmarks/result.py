"""What a benchmark found: rows of figures, and bars that hold or do not."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One target; `measured` None means that it could not be measured, and then the bar does not hold."""

    id: str
    target: str
    measured: float | None
    ok: bool


def at_most(name: str, limit: float, measured: float | None) -> Bar:
    """A bar that holds when `measured` is no more than `limit`."""
    return _bar(name, "at most", limit, measured)


def at_least(name: str, limit: float, measured: float | None) -> Bar:
    """A bar that holds when `measured` is no less than `limit`."""
    return _bar(name, "at least", limit, measured)


def _bar(name: str, sense: Literal["at most", "at least"], limit: float, measured: float | None) -> Bar:
    holds = measured is not None and (measured <= limit if sense == "at most" else measured >= limit)
    return Bar(name, f"{sense} {limit:g}", measured, holds)


@dataclass
class Result:
    """Everything that one run measured; `void` says why the run proves nothing, if it does not."""

    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    void: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the run counts and every bar holds."""
        return self.void is None and all(bar.ok for bar in self.bars)


def write(name: str, environment: dict[str, Any], result: Result, folder: Path = RESULTS) -> Path:
    """Write `NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"environment": environment, **asdict(result)}, indent=1) + "\n")
    return path


def show(result: Result, console: Console) -> None:
    """Print the rows without their repeats, and then the bars."""
    for columns, rows in _by_shape(result.rows):
        table = Table(*columns)
        for row in rows:
            table.add_row(*(text(row[column]) for column in columns))
        console.print(table)
    bars = Table("bar", "target", "measured", "")
    for bar in result.bars:
        measured = "not measured" if bar.measured is None else text(bar.measured)
        bars.add_row(bar.id, bar.target, measured, "ok" if bar.ok else "NOT MET")
    console.print(bars)
    if result.void:
        console.print(f"void: {result.void}")


def _by_shape(rows: Sequence[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    """Rows with the same columns share a table; lists and mappings (the repeats) stay in the JSON."""
    tables: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        columns = tuple(key for key, value in row.items() if not isinstance(value, list | dict))
        tables.setdefault(columns, []).append(row)
    return list(tables.items())


def text(value: Any) -> str:
    """A figure as it is shown: four digits, and no decimals from a thousand on."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
