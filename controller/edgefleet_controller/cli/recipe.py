"""`edgefleet recipe`: ordered lists of steps, shipped or of one's own; needs no controller."""

from typing import Annotated

import typer

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.recipes.recipe import Recipe, shipped_recipes
from edgefleet_compression.recipes.recipe_file import find_recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search.points import order_of
from edgefleet_controller.cli.calling import AsJson, Json
from edgefleet_controller.cli.ending import refuse
from edgefleet_controller.cli.figures import NONE, number
from edgefleet_controller.cli.printing import print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Look at recipes, and check your own before they run.")


@app.command("list")
def list_recipes(as_json: AsJson = False) -> None:
    """The recipes that are shipped."""
    found = list(shipped_recipes().values())
    if as_json:
        print_json([_table(recipe) for recipe in found])
        return
    rows = [(recipe.name, order_of(recipe), recipe.title) for recipe in found]
    print_table(("recipe", "order", "title..."), rows, nothing="no recipe is shipped")


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a TOML file, or the name of a shipped recipe")],
    as_json: AsJson = False,
) -> None:
    """Whether a recipe can run: every step with all its settings, or the line that is wrong and the nearest name."""
    try:
        recipe = find_recipe(file)
    except CompressionError as error:
        refuse(error)
    if as_json:
        print_json(_table(recipe))
        return
    needs = ", ".join(sorted(recipe.needs)) or "nothing but the model"
    module = recipe.refusal("brought", True)
    print_facts(
        [
            ("recipe", f"{recipe.name}: {recipe.title}"),
            ("order", order_of(recipe)),
            ("needs", needs),
            ("model", "a module: it does not apply to an ONNX file" if module else "a module, or an ONNX file"),
            ("digest", recipe.digest),
        ]
    )
    rows = []
    for place, spec in enumerate(recipe.steps, start=1):
        settings = ", ".join(f"{k}={number(v)}" for k, v in registry().settings(spec).model_dump(mode="json").items())
        trains = registry().named(spec.step).step.trains
        rows.append((str(place), spec.step, "yes" if trains else "", settings or NONE))
    print_table((">", "step", "trains", "settings..."), rows, title="Steps")


def _table(recipe: Recipe) -> Json:
    """The recipe as plain values, with every setting."""
    return {
        **recipe.model_dump(mode="json"),
        "steps": [step.model_dump(mode="json") for step in recipe.whole_steps()],
        "order": order_of(recipe),
        "digest": recipe.digest,
    }
