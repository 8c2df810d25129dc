"""`edgefleet recipe`: recipes, shipped or of one's own; needs no controller. The operator's command line mounts it."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.recipes.recipe import Recipe, shipped_recipes
from edgefleet_compression.recipes.recipe_file import find_recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search.points import order_of

# The operator's side prints alike (`printing.py`), and neither may import the other. A package below both would bring
# typer and rich to where nobody else wants them, for these few lines.
NEVER_WRAPS = 10_000

app = typer.Typer(no_args_is_help=True, help="Look at recipes, and check your own before they run.")
_AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else, to stdout")]


@app.command("list")
def list_recipes(as_json: _AsJson = False) -> None:
    """The recipes that are shipped."""
    found = list(shipped_recipes().values())
    if as_json:
        _print_json([_plain(recipe) for recipe in found])
        return
    _print_table(("recipe", "order", "title"), [(recipe.name, order_of(recipe), recipe.title) for recipe in found])


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a TOML file, or the name of a shipped recipe")],
    as_json: _AsJson = False,
) -> None:
    """Whether a recipe can run: every step with all its settings, or the line that is wrong and the nearest name."""
    try:
        recipe = find_recipe(file)
    except CompressionError as error:
        raise typer.TyperException(" ".join(str(error).split())) from None
    if as_json:
        _print_json(_plain(recipe))
        return
    module = recipe.refusal("brought", True)
    facts = (
        ("recipe", f"{recipe.name}: {recipe.title}"),
        ("order", order_of(recipe)),
        ("needs", ", ".join(sorted(recipe.needs)) or "nothing but the model"),
        ("model", "a module: it does not apply to an ONNX file" if module else "a module, or an ONNX file"),
        ("digest", recipe.digest),
    )
    _print_facts(facts)
    rows = []
    for place, spec in enumerate(recipe.steps, start=1):
        settings = ", ".join(f"{k}={_shown(v)}" for k, v in registry().settings(spec).model_dump(mode="json").items())
        rows.append((str(place), spec.step, "yes" if registry().named(spec.step).step.trains else "", settings or "–"))
    _console().print(Text("Steps", style="bold"))
    _print_table((">", "step", "trains", "settings"), rows)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, with every setting."""
    plain = recipe.model_dump(mode="json")
    steps = [step.model_dump(mode="json") for step in recipe.whole_steps()]
    return {**plain, "steps": steps, "order": order_of(recipe), "digest": recipe.digest}


def _shown(value: object) -> str:
    """A setting, as people read it."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _console() -> Console:
    """Where people read; into a pipe or a file every row stays on one line."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else NEVER_WRAPS
    return Console(width=width, markup=False, highlight=False, emoji=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _print_facts(facts: Sequence[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    _print(table)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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
    out = _console()
    with out.capture() as captured:
        out.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
