"""Prints JSON for programs, and tables and lists of facts for people."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from pydantic_core import to_jsonable_python
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgefleet_operator.short_ids import with_short_ids

NEVER_WRAPS = 10_000
LEAST_TEXT = 16


class _ForPeople(Console):
    """Prints text with short ids."""

    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does."""
        super().print(*(with_short_ids(one) if isinstance(one, str) else one for one in objects), **how)


def console(*, stderr: bool = False) -> Console:
    """Make a console for people; into a pipe or a file, every row stays on one line."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else NEVER_WRAPS
    return _ForPeople(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def plain(value: Any) -> Any:
    """Turn a shape of the contract, or lists and dicts of them, into plain values."""
    return to_jsonable_python(value)


def print_json(value: Any) -> None:
    """Print a value for a program."""
    typer.echo(json.dumps(plain(value), indent=1, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    caption: str = "",
    nothing: str = "",
    out: Console | None = None,
) -> None:
    """Print a table: column `>name` is right-aligned; column `name...` holds text and may wrap.

    Args:
        columns: the headings.
        rows: the cells.
        title: a line above.
        caption: a line below.
        nothing: what to print if there are no rows.
        out: where to print; stdout by default.
    """
    filled = [[with_short_ids(cell) for cell in row] for row in rows]
    out = out or console()
    if title:
        out.print(Text(title, style="bold"))
    if not filled:
        out.print(nothing or "nothing")
        return
    table = _table(columns, filled, all_wrap=False)
    if out.measure(table, options=out.options.update(width=NEVER_WRAPS)).minimum > out.width:
        table = _table(columns, filled, all_wrap=True)  # so that nothing is cut
    _print(out, table)
    if caption:
        out.print(Text(caption, style="dim"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, all_wrap: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        is_text, right = column.endswith("..."), column.startswith(">")
        name = column.removeprefix(">").removesuffix("...")
        longest = max(cell_len(name), *(cell_len(row[at]) for row in rows))
        least = min(LEAST_TEXT, longest) if is_text else longest
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=not (all_wrap or is_text),
            overflow="fold",
            min_width=None if all_wrap else least,
        )
    for row in rows:
        table.add_row(*row)
    return table


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, one per line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    _print(console(), table)


def _print(out: Console, table: Table) -> None:
    """Print a table; into a pipe, without trailing blanks."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), file=out.file)
