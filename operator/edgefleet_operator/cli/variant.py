"""`edgefleet variant`: what compression made of a model."""

from functools import partial
from typing import Annotated

import typer

from edgefleet_contract.operations import RebuildResult
from edgefleet_contract.variants import GoldenSize, VariantView
from edgefleet_operator.cli.calling import Api, AsJson, Limit, Timeout, calling, chosen, one
from edgefleet_operator.cli.ending import OK, REFUSED, refuse
from edgefleet_operator.cli.energy import print_energy
from edgefleet_operator.cli.lineage import print_lineage, print_rebuilt, print_steps
from edgefleet_operator.cli.progress import follow
from edgefleet_operator.errors import OperatorError
from edgefleet_operator.figures import NONE, count, measured, ms, number, share, short, size
from edgefleet_operator.measures import Quality
from edgefleet_operator.printing import console, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Show the variants of models, with their measured figures.")


@app.command("list")
def list_variants(
    model: Annotated[
        str | None, typer.Option(metavar="MODEL@VERSION", help="only variants of this model version")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="only variants built by this recipe")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List variants with their scores on val and test, latency and bytes."""
    with calling(api) as client:
        keep = None if recipe is None else lambda v: v.recipe == recipe
        found = chosen(partial(client.variants.all, model), limit, keep)
        if not found and (others := sorted({v.recipe for v in client.variants.all(model)})):
            raise OperatorError(f"no variant is built by recipe '{recipe}': use one of {', '.join(others)}")
    if as_json:
        print_json(found)
        return
    compared = Quality(found).columns
    rows = [
        (
            *(short(v.id), v.model, v.recipe, ", ".join(v.instruction_sets) or "any"),
            *(show(v) for _, show in compared),
            *(number(v.latency_ratio, "x"), ms(v.p95_ms)),
            *(size(v.file_bytes), size(v.delivery_bytes)),
        )
        for v in found
    ]
    hosts = sorted({v.measured_on for v in found if v.measured_on})
    titles = tuple(title for title, _ in compared)
    columns = ("variant", "model", "recipe", "made for", *titles, ">CPU", ">p95", ">file", ">delivery")
    caption = f"CPU (to the source in fp32) and p95 measured on {'; '.join(hosts)}" if hosts else ""
    print_table(columns, rows, caption=caption, nothing="no variants yet: `edgefleet compress MODEL@VERSION`")


@app.command()
def show(
    variant: Annotated[str, typer.Argument(help="the variant's id, or the start of it")],
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show a variant: every figure with its unit, the steps that made it, and its lineage."""
    with calling(api) as client:
        found = client.variants.get(one(client.variants, variant).id)
    if as_json:
        print_json(found)
        return
    print_facts(_facts(found))
    print_energy(found.energy_costs, {found.id: found.recipe})
    print_steps(found.steps)
    print_lineage(found.lineage)


@app.command()
def rebuild(
    variant: Annotated[str, typer.Argument(help="the variant's id, or the start of it")],
    detach: Annotated[bool, typer.Option("--detach", help="print the operation and exit without waiting")] = False,
    timeout: Timeout = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Build a variant again from its lineage, without a cache, and compare; exit code 1 if it comes out different."""
    with calling(api) as client:
        found = one(client.variants, variant)
        operation = client.variants.rebuild(found.id)
        if not detach:
            operation = follow(client, operation, timeout)
    if as_json:
        print_json(operation)
    if operation.state in ("failed", "cancelled"):
        refuse(OperatorError(str(operation.error)))
    if detach:
        if not as_json:
            console().print(f"operation {operation.id} is running: `edgefleet operation show {operation.id} --watch`")
        return
    result = operation.result
    if not isinstance(result, RebuildResult):
        refuse(OperatorError(f"operation {operation.id} is not a rebuild"))
    if not as_json:
        print_rebuilt(result)
    raise typer.Exit(REFUSED if result.verdict == "different" else OK)


def _golden(found: GoldenSize | None) -> str:
    if found is None:
        return NONE
    return found.unlike_asked or f"{found.samples} samples, {size(found.size_bytes)} with their answers"


def _scores(v: VariantView) -> list[tuple[str, str]]:
    if not v.measure.scored:
        return []
    low, high = (measured(bound, v.measure) for bound in v.score_ci or (None, None))
    sure = f"(95 % from {low} to {high}, {count(v.test_samples)} samples)"
    return [
        (f"{v.measure.name} (test)", f"{measured(v.score, v.measure)} {sure}"),
        (f"{v.measure.name} (val)", measured(v.score_val, v.measure)),
    ]


def _headlines(v: VariantView) -> list[tuple[str, str]]:
    """The figures that people know the task by, unless they are the scores."""
    if v.headlined is None or v.headlined.name == v.measure.name:
        return []
    shown = []
    for split, figure in (("test", v.headline), ("val", v.headline_val)):
        value, low, high = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
        low_high = f" (95 % from {measured(low, v.headlined)} to {measured(high, v.headlined)})" if figure else ""
        shown.append((f"{v.headlined.name} ({split})", measured(value, v.headlined) + low_high))
    return shown


def _agreement(v: VariantView) -> str:
    said = f"{share(v.agreement)} with the source model on test, {share(v.agreement_val)} on val"
    return said if v.measure.scored else f"{said}, which choices are made by: single answers have no score"


def _facts(v: VariantView) -> list[tuple[str, str]]:
    return [
        ("variant", v.id),
        ("model", v.model),
        ("recipe", f"{v.recipe}: {v.title}"),
        ("made for", ", ".join(v.instruction_sets) or "any processor"),
        *_scores(v),
        *_headlines(v),
        ("agreement", _agreement(v)),
        ("latency", f"p50 {ms(v.p50_ms)}, p95 {ms(v.p95_ms)}, measured on {v.measured_on or NONE}"),
        ("CPU time", f"{number(v.latency_ratio, 'x')} that of the source model's fp32 file"),
        ("parameters", count(v.parameters)),
        ("file", size(v.file_bytes)),
        ("encoding", size(v.encoding_bytes)),
        ("delivery", f"{size(v.delivery_bytes)}, all that a device downloads"),
        ("golden set", _golden(v.golden)),
        ("peak memory", number(v.peak_rss_mb, "MB")),
        ("energy", number(v.mj_per_inference, "mJ per inference")),
        ("manifest", v.manifest),
        ("runtime", ", ".join(f"{k}={w}" for k, w in v.runtime.items()) or "no options"),
    ]
