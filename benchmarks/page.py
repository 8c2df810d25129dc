"""The table of docs/benchmarks.md, made from the results on disk: what was measured last, and where."""

import json
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS, text

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: written by scripts/bench -->", "<!-- end of results -->"


def table(results: Path = RESULTS) -> str:
    """Every bar of every result, by benchmark, as Markdown."""
    return "\n".join(_section(path.stem, json.loads(path.read_text())) for path in sorted(results.glob("*.json")))


def refresh(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Put the table where the page has its marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(results)}{END}{after}")


def _section(name: str, found: dict[str, Any]) -> str:
    lines = [f"`{name}`, {_where(found['environment'])}{_void(found)}", "", "| bar | target | measured | |"]
    lines.append("|---|---|---|---|")
    for bar in found["bars"]:
        measured = "not measured" if bar["measured"] is None else text(bar["measured"])
        lines.append(f"| {bar['id']} | {bar['target']} | {measured} | {'ok' if bar['ok'] else 'not met'} |")
    return "\n".join(lines) + "\n"


def _where(environment: dict[str, Any]) -> str:
    load = " to ".join(f"{environment[key][0]:.1f}" for key in ("load", "load_after") if environment.get(key))
    return f"{environment['when'][:10]}, {environment['cpu']}, {environment['cores']} cores, load {load}"


def _void(found: dict[str, Any]) -> str:
    return f" (void: {found['void']})" if found.get("void") else ""
