"""`edgefleet model`: registered models."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgefleet_contract.card import CARD_FILE
from edgefleet_contract.errors import ContractError, FileRefused
from edgefleet_contract.readings import TensorView
from edgefleet_operator.cli.calling import Api, AsJson, Limit, ModelArgument, calling, chosen
from edgefleet_operator.cli.choices import print_choices
from edgefleet_operator.cli.ending import refuse
from edgefleet_operator.cli.interrupting import waiting_for
from edgefleet_operator.errors import OperatorError
from edgefleet_operator.figures import count, when
from edgefleet_operator.first_cards import init_model, read_labels
from edgefleet_operator.printing import console, plain, print_facts, print_json, print_table
from edgefleet_operator.readers import card_reader, whole_reader

FOR_A_FILE = "--data, --name, --version, --task, --batch, --labels and --scale"
ALL_OR_NOTHING = "the model is registered only if all of it had arrived: see `edgefleet model list`"

app = typer.Typer(no_args_is_help=True, help="Write cards for models, register, show and remove them.")


class BatchWord(StrEnum):
    """Whether a model's first axis is looked at."""

    guess = "guess"
    none = "none"


@app.command()
def add(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|FILE.onnx", help="a folder with a model.toml, or an ONNX file")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.npz|DIR", help="samples for an ONNX file; in a folder an npz each")
    ] = None,
    name: Annotated[str | None, typer.Option(help="the model's name, for an ONNX file; default: the file's")] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="the model's version, for an ONNX file; default: 1")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="what an ONNX file does, such as detection; default: what its samples tell")
    ] = None,
    batch: Annotated[
        BatchWord, typer.Option(help="none: an ONNX file takes each sample whole, whatever its first axis looks like")
    ] = BatchWord.guess,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE.txt", help="the names of an ONNX file's classes, one a line")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="factor for the samples of an ONNX file")] = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model and register it; the same files again change nothing."""
    is_file = source.suffix == ".onnx"
    if not source.exists():
        raise typer.BadParameter(f"{source} does not exist: name a model's folder or an ONNX file")
    if is_file and data is None:
        raise typer.BadParameter("an ONNX file needs samples: add --data FILE.npz")
    if not is_file and ({data, name, version, task, labels, scale} != {None} or batch is not BatchWord.guess):
        raise typer.BadParameter(f"{FOR_A_FILE} are for an ONNX file: a folder's card has them")
    with calling(api) as client, waiting_for(ALL_OR_NOTHING):
        if is_file and data is not None:
            names = () if labels is None else read_labels(labels)
            model = client.models.add_onnx(
                source, data, name, version or 1, task=task, batch=batch.value, labels=names, scale=scale
            )
        else:
            model = client.models.add(source)
    if as_json:
        print_json(model)
    else:
        if model.not_checked is not None:
            console().print(f"{model.model} was not checked: {model.not_checked}")
        for one in (*model.guesses, *model.remarks, *model.unjudged):
            console().print(str(one))
        for kept in model.state:
            console().print(f"it keeps '{kept.input}' from step to step: what '{kept.output}' gave before")
        console().print(f"{model.model} is registered: compress it with `edgefleet compress {model.model}`")


@app.command()
def init(
    onnx: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="the model as an ONNX file")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="the model's folder; default: the one that the file is in")
    ] = None,
    name: Annotated[str | None, typer.Option(help="the model's name; default: the file's")] = None,
    task: Annotated[
        str | None, typer.Option(help="what it does, such as detection; default: what its samples tell")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a card or a file that is there already")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model.toml for an ONNX file: what the file tells is filled in, comments say what to write for the rest.

    Samples in the folder, data.npz or the only npz, are filled in too: put them there and run it again.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edgefleet-") as spare:
            whole = whole_reader()(onnx, Path(spare)) if onnx.is_file() else onnx
            if whole != onnx and folder is None:
                raise FileRefused(f"the model takes a file of its own: name its folder, `model init {onnx} DIR`")
            where, card = init_model(whole, folder, card_reader(), name=name, task=task, force=force)
    except (ContractError, OperatorError, OSError) as error:
        refuse(error)
    if as_json:
        print_json({"card": str(where / CARD_FILE), **card.model_dump(exclude={"text"})})
        return
    out = console()
    out.print(f"{where / CARD_FILE} is written: {card.model} {card.known}")
    for one in card.missing:
        out.print(f"missing: {one}")
    if not card.missing:
        out.print(f"look at its comments, then register it with `edgefleet model add {where}`")


@app.command()
def remove(model: ModelArgument, api: Api = None) -> None:
    """Remove a model version and its variants, if nothing needs it."""
    with calling(api) as client:
        client.models.remove(model)
    console().print(f"{model} was removed")


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Option(help="only versions of this model")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List registered model versions."""
    with calling(api) as client:
        found = chosen(client.models.all, limit, None if name is None else lambda m: m.name == name)
    if as_json:
        print_json(found)
        return
    rows = [(m.model, m.task, count(len(m.labels)), count(len(m.files)), when(m.created_ms)) for m in found]
    columns = ("model", "task", ">labels", ">files", "registered")
    print_table(columns, rows, nothing="no models yet: `edgefleet model add DIR`")


@app.command()
def show(model: ModelArgument, api: Api = None, as_json: AsJson = False) -> None:
    """Show a model version, its files, and the variant that each profile gets."""
    with calling(api) as client:
        found = client.models.get(model)
        choices = list(client.models.choices(model))
        variants = list(client.variants.all(model))
    if as_json:
        print_json({**plain(found), "choices": plain(choices)})
        return
    files = [(f"file {name}", f"sha256 {sha256}") for name, sha256 in sorted(found.files.items())]
    print_facts(
        [
            ("model", found.model),
            ("task", found.task),
            ("labels", ", ".join(found.labels)),
            *((f"takes {one.name}", f"{one.datatype} {shown_shape(one)}") for one in found.inputs),
            *((f"keeps {one.input}", f"what {one.output} gave at the step before") for one in found.state),
            *((f"answers {one.name}", f"{one.datatype} {shown_shape(one)}") for one in found.outputs),
            ("registered", when(found.created_ms)),
            ("variants", count(len(variants))),
            *files,
        ]
    )
    if choices:
        print_choices(choices, variants)


def shown_shape(tensor: TensorView) -> str:
    """A shape as people read it, its batch first of all."""
    return f"[{', '.join('any' if size is None else str(size) for size in tensor.shape)}]"
