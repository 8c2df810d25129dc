"""Prints what a search found: fronts, orders, constraints, and the reason against every other point."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgefleet_contract.counted import counted
from edgefleet_contract.searches import BestOfOrder, FrontPoint, SearchReport, TriedRecipe
from edgefleet_operator.client import Client
from edgefleet_operator.figures import NONE, measured, ms, number, share, size
from edgefleet_operator.measures import AGREEMENT, value_of
from edgefleet_operator.printing import console, print_table

REPORT = "search.json"
PREDICTED = "*"
NOTE = "* predicted from {host} by the catalogue's factor; energy is modelled from the catalogue's watts where marked"


def write_search(client: Client, operation: str, found: SearchReport, folder: Path) -> None:
    """Write the report and a picture of each front into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_text(found.model_dump_json(indent=1), encoding="utf-8")
    for name in found.fronts:
        (folder / f"front-{name}.svg").write_bytes(client.operations.search_picture(operation, name))


def print_search(found: SearchReport) -> None:
    """Print a whole report."""
    for name, front in found.fronts.items():
        _print_front(name, front, found)
    _print_orders(found)
    _print_rejected(found.points)
    out = console()
    for name, verdict in found.constraints.items():
        out.print(f"constraints on {name}: {verdict.sentence}")
    points, steps = counted(found.measured, "point"), counted(found.trainings, "training step")
    out.print(f"{points} measured in {found.seconds / 60:.1f} min, {steps} run")


def _print_front(name: str, front: Sequence[FrontPoint], found: SearchReport) -> None:
    labelled = any(row.score_val is not None for row in front)
    good = found.measure if labelled and found.measure else AGREEMENT
    headlined = found.headlined if any(row.headline_test for row in front) else None
    if headlined and found.measure and headlined.name == found.measure.name:
        headlined = None
    rows = [
        (
            row.recipe,
            measured(row.score_val if labelled else row.agreement_val, good),
            measured(row.score_test if labelled else row.agreement, good),
            *([measured(value_of(row.headline_test), headlined)] if headlined else []),
            _drop(row),
            number(row.latency_ratio, "x"),
            ms(row.latency_ms) + (PREDICTED if row.latency_is == "predicted" else ""),
            size(row.encoding_bytes),
            number(row.peak_rss_mb, "MB"),
            number(row.energy_mj, "mJ") + (PREDICTED if row.energy_is == "modelled" else ""),
        )
        for row in front
    ]
    hosts = sorted({str(row.measured_on) for row in front if row.measured_on})
    columns = (
        "recipe",
        f">{good.name} val",
        ">test",
        *([f">{headlined.name}"] if headlined else []),
        ">drop test (95 %)",
        ">CPU",
        ">p50",
        ">encoding",
        ">memory",
        ">energy",
    )
    caption = NOTE.format(host="; ".join(hosts)) if hosts else ""
    print_table(columns, rows, title=f"Front of {name}", caption=caption, nothing="nothing was measured")


def _drop(row: FrontPoint) -> str:
    """Format the loss on test against the source, in points, with the interval of the paired difference."""
    if row.drop_test is None or row.drop_test_ci is None:
        return NONE
    low, high = row.drop_test_ci
    return f"{row.drop_test * 100:.2f} ({low * 100:.2f} to {high * 100:.2f})"


def _print_orders(found: SearchReport) -> None:
    classes = list(found.fronts)
    rows = [
        (order, *(_best(row.get(name)) for name in classes))
        for order, row in sorted(found.orders.items(), key=lambda item: item[0])
    ]
    print_table(("order", *(f">{name}" for name in classes)), rows, title="The best of each order, by val")


def _best(cell: BestOfOrder | None) -> str:
    return NONE if cell is None else f"{share(cell.quality)} {cell.recipe}"


def _print_rejected(points: Iterable[TriedRecipe]) -> None:
    """Print each rejected point once per reason, with the classes that it was rejected on."""
    out = console()
    for point in points:
        by_reason: dict[str, list[str]] = {}
        for name, row in point.classes.items():
            if row.rejected:
                by_reason.setdefault(row.rejected, []).append(name)
        for reason, names in by_reason.items():
            where = "" if len(names) == len(point.classes) else f" on {', '.join(names)}"
            out.print(f"not {point.recipe}{where}: {reason}")
