"""`edgefleet profile`: kinds of device, with the source of each figure."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgefleet_contract.profiles import ProfileView
from edgefleet_operator.cli.calling import Api, AsJson, Limit, calling
from edgefleet_operator.cli.ending import refuse
from edgefleet_operator.cli.energy import core_hour
from edgefleet_operator.cli.windows import window_facts
from edgefleet_operator.figures import number
from edgefleet_operator.printing import console, print_facts, print_json, print_table
from edgefleet_profiles.catalogue import Catalogue, load_catalogue, look_up
from edgefleet_profiles.check import Figure, figures
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.windows import check_zones

app = typer.Typer(no_args_is_help=True, help="Show device profiles: region x hardware x link.")

UNITS = {
    **{"down_kbps": "kbit/s", "rtt_ms": "ms", "usd_per_mb": "USD/MB", "joule_per_mb": "J/MB", "monthly_cap_mb": "MB"},
    **{"ram_mb": "MB", "storage_mb": "MB", "idle_w": "W", "active_w": "W", "loss": "of packets"},
    **{"usd_per_kwh": "USD/kWh", "g_co2_per_kwh": "g CO2/kWh", "latency_factor": "x"},
}


@app.command("list")
def list_profiles(
    region: Annotated[str | None, typer.Option(help="only in this region")] = None,
    hardware: Annotated[str | None, typer.Option(help="only this kind of hardware")] = None,
    link: Annotated[str | None, typer.Option(help="only this kind of link")] = None,
    limit: Limit = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """List all profiles in the catalogue; their figures are the catalogue's, not measured."""
    wanted = {"region": region, "hardware": hardware, "link": link}

    def keep(shown: ProfileView) -> bool:
        of = shown.profile
        named = zip((of.region.name, of.hardware.name, of.link.name), (region, hardware, link), strict=True)
        return all(asked in (None, name) for name, asked in named)

    with calling(api) as client:
        every = list(client.profiles.all())
        found = list(islice(filter(keep, every), limit))
        if not found:
            catalogue = _catalogue(every)
            for part, name in wanted.items():
                if name is not None:
                    look_up(getattr(catalogue, part), part, name)
    if as_json:
        print_json(found)
        return
    rows = []
    for shown in found:
        board, line = shown.profile.hardware, shown.profile.link
        rate, price = number(line.down_kbps, "kbit/s"), number(line.usd_per_mb, "USD/MB")
        rows.append((shown.name, shown.device_class, number(board.ram_mb, "MB"), rate, price))
    columns = ("profile", "device class", ">memory", ">link", ">traffic")
    print_table(columns, rows, nothing="no such profiles: `edgefleet profile list` shows all")


@app.command()
def show(
    profile: Annotated[str, typer.Argument(metavar="REGION/HARDWARE/LINK", help="for example eu/rpi4/lte")],
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show a profile: every figure with its unit and source."""
    with calling(api) as client:
        found = client.profiles.get(profile)
    if as_json:
        print_json(found)
        return
    of = found.profile
    titles = [("region", of.region.title), ("hardware", of.hardware.title), ("link", of.link.title)]
    print_facts([("profile", found.name), ("class", found.device_class), *titles, *_more(found)])
    _print_figures(list(figures(_catalogue([found]))))


@app.command()
def check(
    only: Annotated[
        Literal["cited", "estimated"] | None, typer.Option(help="only cited figures, or only estimates")
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option(help="check the entries in this folder instead of a controller's", exists=True)
    ] = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Show which figures of the catalogue cite a source, and which are estimates."""
    with calling(api) if profiles is None else nullcontext() as client:
        catalogue = _catalogue(client.profiles.all()) if client else _own(profiles)
    found = list(figures(catalogue))
    shown = [f for f in found if only is None or f.estimated is (only == "estimated")]
    if as_json:
        print_json([vars(f) for f in shown])
        return
    _print_figures(shown)
    estimated = sum(f.estimated for f in found)
    console().print(f"{len(found)} figures: {len(found) - estimated} cited, {estimated} estimated")


def _own(folder: Path | None) -> Catalogue:
    try:
        catalogue = load_catalogue(folder)
        check_zones(catalogue)
        return catalogue
    except ProfileError as error:
        refuse(error)


def _catalogue(shown: Iterable[ProfileView]) -> Catalogue:
    """Put together the catalogue that these profiles come from."""
    whole = [entry.profile for entry in shown]
    return Catalogue(
        hardware={p.hardware.name: p.hardware for p in whole},
        link={p.link.name: p.link for p in whole},
        region={p.region.name: p.region for p in whole},
    )


def _print_figures(found: Sequence[Figure]) -> None:
    rows = [
        (
            *(f"{f.part} {f.name}", _field(f), number(f.value, UNITS.get(f.field, ""))),
            *("estimated" if f.estimated else "cited", f.source),
        )
        for f in found
    ]
    print_table(("entry", "figure", ">value", "kind", "source..."), rows, nothing="no such figures")


def _more(found: ProfileView) -> list[tuple[str, str]]:
    return [("energy", core_hour(found.core_hour)), *window_facts(found.windows)]


def _field(figure: Figure) -> str:
    return f"{figure.field} (description only)" if figure.description_only else figure.field
