"""`edgefleet telemetry`: what devices measured while answering."""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Literal, get_args

import typer

from edgefleet_contract.counted import counted
from edgefleet_contract.devices import DeviceView
from edgefleet_contract.telemetry import GroupBy, TelemetryGroup, TelemetryView
from edgefleet_operator.cli.calling import Api, AsJson, Limit, calling
from edgefleet_operator.client import Client
from edgefleet_operator.errors import NotFound
from edgefleet_operator.figures import NONE, count, ms, now_ms, short, when
from edgefleet_operator.measures import telemetry_figures
from edgefleet_operator.printing import print_json, print_table

By = StrEnum("By", ["variant", "device", "hardware", "region", "link", "segment", "model", "model_version"])
# typer accepts no list of literals; a test checks that both have the same names.
GROUPS: dict[str, GroupBy] = {name: name for name in get_args(GroupBy)}
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Where to find a group's value on a device, to tell whether its figures come from simulated hardware.
OF_DEVICE: dict[GroupBy, Callable[[DeviceView], str]] = {
    "device": lambda d: d.id,
    "hardware": lambda d: d.hardware,
    "region": lambda d: d.region,
    "link": lambda d: d.link,
}


def telemetry(
    model: Annotated[
        str | None, typer.Option(metavar="MODEL[@VERSION]", help="only this model, or one version of it")
    ] = None,
    by: Annotated[list[By] | None, typer.Option(help="group by this; repeat for more; default: variant")] = None,
    over: Annotated[Literal["hour", "day"] | None, typer.Option(help="also group by hour or day (UTC)")] = None,
    device: Annotated[str | None, typer.Option(help="only this device")] = None,
    selector: Annotated[str | None, typer.Option(help="only devices that match, for example 'region=eu'")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="SPAN", help="only this last time span, for example 90s, 15m, 2h or 7d")
    ] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show counts, latency percentiles (from merged histograms) and scores (from labels), such as accuracy."""
    columns: tuple[GroupBy, ...] = tuple(dict.fromkeys(GROUPS[one.value] for one in by or (By["variant"],)))
    since_ms = None if since is None else now_ms() - 1000 * _seconds(since)
    with calling(api) as client:
        if device is not None:
            client.devices.get(device)
        asked = client.telemetry.all(
            columns,
            bucket=over or "none",
            model=model,
            device=device,
            selector=selector,
            since_ms=since_ms,
            limit=limit,
        )
        found = list(asked)
        if not found and model is not None:
            _is_known(client, model)
        if as_json:
            print_json(found)
            return
        devices = [d for d in client.devices.all(selector) if device in (None, d.id)]
        recipes = {v.id: f"{v.recipe} {short(v.id)}" for v in client.variants.all()}
    _print(found, columns, devices, recipes)


def _is_known(client: Client, model: str) -> None:
    """Check that a model without telemetry is registered; a removed one may still have telemetry.

    Raises:
        NotFound: it is not registered.
    """
    if "@" in model:
        client.models.get(model)
    elif all(known.name != model for known in client.models.all()):
        raise NotFound(f"no model {model}: see `edgefleet model list`")


def _print(
    found: Sequence[TelemetryView], by: Sequence[GroupBy], devices: Sequence[DeviceView], recipes: dict[str, str]
) -> None:
    over_time = any(entry.bucket_ms is not None for entry in found)
    scores = telemetry_figures(found)
    rows = []
    for entry in found:
        at = (when(entry.bucket_ms).removesuffix(":00Z"),) if over_time else ()
        names = (recipes.get(str(name), str(name)) for name in (getattr(entry.group, one) for one in by))
        latencies = (ms(entry.p50_ms), ms(entry.p95_ms), ms(entry.p99_ms))
        counts = (count(entry.requests), count(entry.errors + entry.not_finite))
        score = NONE if entry.measure is None else scores.show(entry.score, entry.measure)
        labels = (score, count(entry.labelled))
        rows.append((*at, *names, simulated(entry.group, devices), *counts, *latencies, *labels))
    keys = [f"{one}..." for one in by]
    figures = (">requests", ">failed", ">p50", ">p95", ">p99", f">{scores.title}", ">labels")
    caption = "sim: measured on the machine that simulates these devices; failed: errors, and answers with NaN or inf"
    columns = (*(("from (UTC)",) if over_time else ()), *keys, "sim", *figures)
    print_table(columns, rows, caption="\n".join((caption, *_labels_apart(found))), nothing="no telemetry yet")


def _labels_apart(found: Sequence[TelemetryView]) -> list[str]:
    """What there is to say of labels besides the score."""
    refused, unchecked = (sum(getattr(one, name) for one in found) for name in ("refused_labels", "unchecked_labels"))
    said = []
    if refused:
        classes = all(one.measure and one.measure.is_accuracy for one in found if one.refused_labels)
        why = "none of the model's classes" if classes else "none that their models' tasks take"
        said.append(f"refused: {counted(refused, 'label')}, {why}; no figure counts refused labels")
    if unchecked:
        why = "came through agents up to 0.2, which don't check that they are classes of the model"
        said.append(f"not checked: {count(unchecked)} of the labels {why}")
    if any(one.measure is None for one in found):
        said.append("no score: models of several measures are in one group; keep them apart with --by model")
    return said


def simulated(group: TelemetryGroup, devices: Sequence[DeviceView]) -> str:
    """Say whether all (`yes`), some or none (`no`) of the devices behind a group's figures are simulated."""
    places = {key: of for key, of in OF_DEVICE.items() if key in group.model_fields_set}
    among = [d for d in devices if all(of(d) == getattr(group, key) for key, of in places.items())]
    if group.variant is not None:
        held = [d for d in among if any(s.variant == group.variant for m in d.models.values() for s in m.slots)]
        among = held or among
    of = {d.simulated for d in among}
    return "some" if len(of) > 1 else "yes" if True in of else "no" if of else NONE


def _seconds(span: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", span)
    if found is None:
        raise typer.BadParameter(f"--since '{span}' is not a time span: write, for example, 90s, 15m, 2h or 7d")
    return int(found[1]) * UNITS_S[found[2]]
