"""`edgefleet compress`: builds a model's variants, by recipes or a search, and chooses one for each profile."""

from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import ValidationError

from edgefleet_contract.builds import NewSearch
from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.counted import counted
from edgefleet_contract.faults import first_fault
from edgefleet_contract.models import ModelView
from edgefleet_contract.operations import BuildResult, OperationRecord
from edgefleet_contract.recipes import RecipeTable
from edgefleet_contract.searches import SearchReport
from edgefleet_contract.variants import VariantView
from edgefleet_operator.cli.bounds import bounds_from
from edgefleet_operator.cli.calling import Api, AsJson, ModelArgument, Timeout, calling
from edgefleet_operator.cli.choices import print_choices
from edgefleet_operator.cli.ending import refuse
from edgefleet_operator.cli.explanation_tables import explain_choice
from edgefleet_operator.cli.golden_sets import golden_sentences
from edgefleet_operator.cli.guessing import guessing
from edgefleet_operator.cli.not_built import not_applicable_lines, not_built_lines
from edgefleet_operator.cli.progress import follow
from edgefleet_operator.cli.searching import print_search, write_search
from edgefleet_operator.cli.version_comparison import comparison_line
from edgefleet_operator.client import Client
from edgefleet_operator.errors import OperatorError
from edgefleet_operator.printing import console, print_json
from edgefleet_operator.readers import recipe_reader
from edgefleet_profiles.device_class import InstructionSet

# By name, so that what was typed is one of them for the type checker too.
INSTRUCTION_SETS: dict[str, InstructionSet] = {name: name for name in get_args(InstructionSet)}


def compress(
    model: ModelArgument,
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION/HARDWARE/LINK", help="for this profile; repeat for more; default: the fleet's"),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="by this recipe or recipe file; repeat for more; default: all shipped"),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="search for variants this long instead of using given recipes", min=0.1),
    ] = None,
    seed: Annotated[int, typer.Option(help="random seed of a search", min=0)] = 0,
    device_class: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="CLASS", help="search for this class; repeat for more; default: the profiles'"),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="upper limit of max_drop, latency_ratio, encoding_bytes or peak_rss_mb"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write a search's results here: search.json, front-CLASS.svg")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="REGION/HARDWARE/LINK", help="build nothing; explain what this profile gets"),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="print the operation and exit without waiting")] = False,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Build a model's variants, measure them, and choose one for each profile."""
    if explain is not None and (profile or recipe or detach or budget):
        raise typer.BadParameter("--explain builds nothing: leave out --profile, --recipe, --budget and --detach")
    if budget is None and (device_class or constraint or out or seed):
        raise typer.BadParameter("--class, --constraint, --out and --seed are for a search: add --budget MINUTES")
    if budget is not None and recipe:
        raise typer.BadParameter("a search finds its recipes itself: leave out --recipe or --budget")
    asked = None if budget is None else _search(budget, seed, device_class, constraint)
    with calling(api) as client:
        if explain is not None:
            explain_choice(client, model, explain, as_json)
            return
        operation = client.builds.start(model, profiles=profile or None, recipes=_recipes(recipe), search=asked)
        if not detach:
            operation = follow(client, operation, timeout)
            found = _found(client, operation, out) if asked else None
            choices = list(client.models.choices(model))
            variants = list(client.variants.all(model))
            known = client.models.get(model)
    if detach and as_json:
        print_json(operation)
    elif detach:
        console().print(f"operation {operation.id} is running: `edgefleet operation show {operation.id} --watch`")
    else:
        _print_end(operation, choices, variants, found, known, as_json)


def _search(budget: float, seed: int, classes: list[str] | None, constraints: list[str] | None) -> NewSearch:
    """Make the request for a search.

    Raises:
        typer.BadParameter: a class or a constraint is unknown, or a value is wrong.
    """
    known = [_class(one) for one in classes or ()]
    bounds = bounds_from(constraints or [])
    try:
        return NewSearch(budget_min=budget, seed=seed, constraints=bounds, classes=known or None)
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error.errors())) from None


def _class(text: str) -> InstructionSet:
    if text not in INSTRUCTION_SETS:
        raise typer.BadParameter(f"there is no class '{text}': use one of {', '.join(INSTRUCTION_SETS)}")
    return INSTRUCTION_SETS[text]


def _recipes(given: list[str] | None) -> list[str | RecipeTable] | None:
    """Leave names as they are; read and check files here, and send them as tables."""
    if not given:
        return None
    files = {one for one in given if one.endswith(".toml") or Path(one).is_file()}
    return [recipe_reader()(Path(one)) if one in files else one for one in given]


def _found(client: Client, operation: OperationRecord, out: Path | None) -> SearchReport | None:
    """Fetch what a search found, and write it to `out` if given."""
    if operation.state != "succeeded":
        return None
    found = client.operations.search_report(operation.id)
    if out is not None:
        write_search(client, operation.id, found, out)
    return found


def _print_end(
    operation: OperationRecord,
    choices: list[ChoiceView],
    variants: list[VariantView],
    found: SearchReport | None,
    model: ModelView,
    as_json: bool,
) -> None:
    guess = guessing(variants, len(model.labels))
    if as_json:
        told = {"operation": operation, "choices": choices, "unjudged": model.unjudged, "guessing": guess}
        print_json(told if found is None else told | {"search": found})
    if operation.state != "succeeded":
        refuse(OperatorError(str(operation.error)))
    result = operation.result
    if as_json or not isinstance(result, BuildResult):
        return
    out = console()
    if found is not None:
        print_search(found)
    for line in not_built_lines(result) if found is None else not_applicable_lines(result):
        out.print(line)
    if result.compared is not None:
        out.print(comparison_line(operation.target, result.compared))
    if choices:
        print_choices(choices, variants)
    if guess:
        out.print(guess)
    for sentence in golden_sentences(v for v in variants if v.id in result.variants):
        out.print(sentence)
    for one in model.unjudged:
        out.print(str(one))
    if steps := result.steps:
        out.print(f"{counted(steps.run, 'step')} run, {steps.cached:,} from the cache")
