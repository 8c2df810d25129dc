"""`edgefleet compress`: from a model to a variant for every profile."""

from typing import Annotated

import typer

from edgefleet_controller.cli.calling import Api, AsJson, Json, Timeout, calling, listing
from edgefleet_controller.cli.choices import print_choices
from edgefleet_controller.cli.ending import refuse
from edgefleet_controller.cli.explaining import explain_choice
from edgefleet_controller.cli.printing import console, print_json
from edgefleet_controller.cli.progress import follow
from edgefleet_controller.errors import ControllerError


def compress(
    model: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="as in fashion@1")],
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION/HARDWARE/LINK", help="for this profile; again for more; default: the fleet's"),
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="by this recipe; again for more; default: every one that is shipped")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="REGION/HARDWARE/LINK", help="build nothing: say what this profile gets, and why"),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="don't wait: print the operation and end")] = False,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Build a model's variants, measure them, and choose one for each profile."""
    if explain is not None and (profile or recipe or detach):
        raise typer.BadParameter("--explain builds nothing: leave --profile, --recipe and --detach out")
    with calling(api) as client:
        if explain is not None:
            explain_choice(client, model, explain, as_json)
            return
        body = {"model": model, "profiles": profile or None, "recipes": recipe or None}
        operation: Json = client.post("/builds", body)
        if not detach:
            operation = follow(client, operation, timeout)
            choices = listing(client, f"/models/{model}/choices", None)
            variants = listing(client, "/variants", None, model=model)
    if detach and as_json:
        print_json(operation)
    elif detach:
        console().print(f"operation {operation['id']} runs: `edgefleet operation show {operation['id']} --watch`")
    else:
        _print_end(operation, choices, variants, as_json)


def _print_end(operation: Json, choices: list[Json], variants: list[Json], as_json: bool) -> None:
    if as_json:
        print_json({"operation": operation, "choices": choices})
    if operation["state"] == "failed":
        refuse(ControllerError(str(operation["error"])))
    if as_json:
        return
    out = console()
    for label, reason in operation["result"]["failed"].items():
        out.print(f"{label} was not built: {reason}")
    print_choices(choices, variants)
