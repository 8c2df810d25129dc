"""`edgefleet model`: registered models."""

from pathlib import Path
from typing import Annotated

import typer

from edgefleet_controller.cli.calling import Api, AsJson, Json, Limit, at, calling, listing
from edgefleet_controller.cli.choices import print_choices
from edgefleet_controller.cli.figures import count, when
from edgefleet_controller.cli.printing import console, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Register models and look at them.")
Ref = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="as in fashion@1")]


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder with a model.toml", exists=True)],
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model and register it; the same files again change nothing."""
    with calling(api) as client:
        model = client.add_model(folder)
    if as_json:
        print_json(model)
    else:
        console().print(f"{model['model']} is registered: compress it with `edgefleet compress {model['model']}`")


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Option(help="only versions of this model")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Registered model versions."""
    with calling(api) as client:
        found = listing(client, "/models", limit, None if name is None else lambda m: m["name"] == name)
    if as_json:
        print_json(found)
        return
    rows = [
        (m["model"], m["task"], count(len(m["labels"])), count(len(m["files"])), when(m["created_ms"])) for m in found
    ]
    columns = ("model", "task", ">labels", ">files", "registered")
    print_table(columns, rows, nothing="no model is registered: `edgefleet model add DIR`")


@app.command()
def show(model: Ref, api: Api = None, as_json: AsJson = False) -> None:
    """A model version, its files, and what each profile gets of it."""
    with calling(api) as client:
        found: Json = client.get(at("/models", model))
        choices = listing(client, f"{at('/models', model)}/choices", None)
        variants = listing(client, "/variants", None, model=model)
    if as_json:
        print_json({**found, "choices": choices})
        return
    files = [(f"file {name}", f"sha256 {sha256}") for name, sha256 in sorted(found["files"].items())]
    print_facts(
        [
            ("model", found["model"]),
            ("task", found["task"]),
            ("labels", ", ".join(found["labels"])),
            ("registered", when(found["created_ms"])),
            ("variants", count(len(variants))),
            *files,
        ]
    )
    if choices:
        print_choices(choices, variants)
