"""Prints JSON for programs, and tables and lists of facts for people, from the commands that need no controller.

The operator's side prints alike, and neither may import the other. A package below both would bring typer and rich to
where nobody else wants them, for these few lines.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NEVER_WRAPS = 10_000


def console() -> Console:
    """Where people read; into a pipe or a file every row stays on one line."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else NEVER_WRAPS
    return Console(width=width, markup=False, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print a value for a program."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, one per line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    _print(table)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: `>name` is set to the right; the last column holds text, and is the only one that may wrap."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        name = column.removeprefix(">")
        table.add_column(name, justify=justify, no_wrap=column != columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    _print(table)


def _print(table: Table) -> None:
    """Print a table; into a pipe without the blanks that fill its last column."""
    out = console()
    with out.capture() as captured:
        out.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
