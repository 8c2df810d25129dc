"""`edgefleet recipe`: recipes, shipped or of one's own; needs no controller. The operator's command line mounts it."""

from typing import Annotated, Any

import typer
from rich.text import Text

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.ways import Ways
from edgefleet_compression.printing import console, print_facts, print_json, print_table
from edgefleet_compression.recipes.recipe import Recipe, shipped_recipes
from edgefleet_compression.recipes.recipe_file import find_recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search.points import order_of
from edgefleet_protocol.features import FIRST_TASK

NO_TRAINING = Ways(training="no student learns from it")

app = typer.Typer(no_args_is_help=True, help="Look at recipes, and check your own before they run.")
_AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else, to stdout")]


@app.command("list")
def list_recipes(as_json: _AsJson = False) -> None:
    """The recipes that are shipped."""
    found = list(shipped_recipes().values())
    if as_json:
        print_json([_plain(recipe) for recipe in found])
        return
    rows = [(recipe.name, order_of(recipe), _takes(recipe), recipe.title) for recipe in found]
    print_table(("recipe", "order", "for", "title"), rows)


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
        print_json(_plain(recipe))
        return
    facts = (
        ("recipe", f"{recipe.name}: {recipe.title}"),
        ("order", order_of(recipe)),
        ("needs", ", ".join(sorted(recipe.needs)) or "nothing but the model"),
        ("model", _takes(recipe)),
        ("digest", recipe.digest),
    )
    print_facts(facts)
    rows = []
    for place, spec in enumerate(recipe.steps, start=1):
        settings = ", ".join(f"{k}={_shown(v)}" for k, v in registry().settings(spec).model_dump(mode="json").items())
        rows.append((str(place), spec.step, "yes" if registry().named(spec.step).step.trains else "", settings or "–"))
    console().print(Text("Steps", style="bold"))
    print_table((">", "step", "trains", "settings"), rows)


def _takes(recipe: Recipe) -> str:
    """What the recipe applies to."""
    if recipe.is_for_files:
        return "an ONNX file: it does not apply to a module"
    if recipe.refusal("brought", True):
        return "a module: it does not apply to an ONNX file"
    if recipe.refusal("brought", True, NO_TRAINING):
        return f"a module, or an ONNX file of one input for {FIRST_TASK}"
    return "a module, or an ONNX file"


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
