"""What the demo found: a report made of what the REST API answers, and whether it is what should be."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table

Json = dict[str, Any]


def make_report(
    rollouts: Iterable[Json],
    executions: Mapping[str, list[Json]],
    variants: Iterable[Json],
    choices: Mapping[str, Json],
    devices: Iterable[Json],
    latest: Mapping[str, Json],
    telemetry: Iterable[Json],
) -> Json:
    """The report of a demo run.

    Args:
        rollouts: as /rollouts lists them.
        executions: of each rollout, as /rollouts/ID/executions lists them.
        variants: as /variants lists them.
        choices: by profile, as /models/REF/choices lists them, of the last version.
        devices: as /devices lists them.
        latest: by device, its execution in the last rollout.
        telemetry: of the last version, grouped by device and variant.
    """
    recipes = {v["id"]: v for v in variants}
    measured = {(t["group"]["device"], t["group"]["variant"]): t for t in telemetry}
    rows = []
    for device in devices:
        execution = latest.get(device["id"], {})
        chosen = choices.get(device["profile"], {}).get("variant")
        said = next(iter(device["models"].values()), {"answering": None})
        answering = said["answering"]["variant"] if said["answering"] else None
        window = measured.get((device["id"], answering), {})
        rows.append(
            {
                "id": device["id"],
                "profile": device["profile"],
                "region": device["region"],
                "hardware": device["hardware"],
                "link": device["link"],
                "simulated": device["simulated"],
                "chosen": chosen,
                "variant": answering,
                "recipe": recipes[answering]["recipe"] if answering in recipes else None,
                "phase": execution.get("phase"),
                "delivery_bytes": execution.get("transfer_bytes"),
                "transfer_s": execution.get("transfer_s"),
                "p50_ms": window.get("p50_ms"),
                "p95_ms": window.get("p95_ms"),
                "accuracy": window.get("accuracy"),
                "samples": window.get("labelled", 0),
                "requests": window.get("requests", 0),
                "errors": window.get("errors", 0),
            }
        )
    return {
        "rollouts": [
            {
                **{k: r[k] for k in ("id", "model", "segment", "state", "reason", "counts", "counts_back")},
                "devices_exposed": [e["device"] for e in executions[r["id"]] if e["directive"] == "activate"],
                "evidence": [line for wave in r["waves"] for line in wave["evidence"]],
                "first_wave": [e["device"] for e in executions[r["id"]] if e["wave"] == 1],
            }
            for r in rollouts
        ],
        "variants": [
            {
                k: v[k]
                for k in (
                    *("id", "model", "recipe", "title", "instruction_sets", "accuracy", "accuracy_ci", "agreement"),
                    *("file_bytes", "encoding_bytes", "delivery_bytes", "p50_ms", "p95_ms", "measured_on"),
                )
            }
            for v in recipes.values()
        ],
        "devices": rows,
    }


def faults(report: Json, wanted: Mapping[str, str]) -> list[str]:
    """What is not as it should be, one line each; none means that the loop closed.

    Args:
        report: the report.
        wanted: by rollout, the state in which it should have ended.
    """
    found = [
        f"rollout {r['id']} of {r['model']} is {r['state']}, not {wanted[r['id']]}: {r['reason']}"
        for r in report["rollouts"]
        if r["state"] != wanted[r["id"]]
    ]
    for rollout in report["rollouts"]:
        beyond = set(rollout["devices_exposed"]) - set(rollout["first_wave"])
        if wanted[rollout["id"]] == "rolled_back" and (beyond or not rollout["devices_exposed"]):
            found.append(f"rollout {rollout['id']} should have stopped in its first wave: {rollout['devices_exposed']}")
    for device in report["devices"]:
        if device["phase"] != "committed":
            found.append(f"{device['id']} is {device['phase']}, not committed")
        if device["chosen"] is None or device["variant"] != device["chosen"]:
            found.append(f"{device['id']} runs {device['recipe']}, which is not the variant chosen for its profile")
        if not device["samples"]:
            found.append(f"{device['id']} reported no labelled answer from its variant")
    used = {device["variant"] for device in report["devices"]}
    if len(used) < 3:
        found.append(f"only {len(used)} different variants are in use")
    return found


def number(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """A figure for a table; a dash where nothing was measured."""
    return "–" if value is None else f"{value:{form}}{unit}"


def percent(value: float | None) -> str:
    """A share for a table."""
    return "–" if value is None else f"{value:.1%}"


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...], last: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    if last:
        table.add_column(last, no_wrap=True)
    return table


def variant_table(report: Json) -> Table:
    """The variants, as measured on this machine."""
    host = next((v["measured_on"] for v in report["variants"] if v["measured_on"]), "this machine")
    columns = ("model", "recipe", "made for")
    figures = ("accuracy", "95 % from", "to", "agreement", "file bytes", "zstd bytes", "p50 ms", "p95 ms")
    table = _table(f"Variants, measured on {host}; accuracy on the test split", columns, figures)
    for v in report["variants"]:
        low, high = v["accuracy_ci"] or (None, None)
        table.add_row(
            v["model"],
            v["recipe"],
            ", ".join(v["instruction_sets"]) or "any",
            percent(v["accuracy"]),
            percent(low),
            percent(high),
            percent(v["agreement"]),
            number(v["file_bytes"], ",d"),
            number(v["encoding_bytes"], ",d"),
            number(v["p50_ms"], ".3f"),
            number(v["p95_ms"], ".3f"),
        )
    return table


def device_table(report: Json) -> Table:
    """The fleet, as its devices report it."""
    everywhere = all(d["simulated"] for d in report["devices"])
    marked = " (sim)" if everywhere else ""
    table = _table(
        "The fleet, from the REST API (sim: simulated on this machine)",
        ("device", "region", f"hardware{marked}", f"link{marked}", "recipe, variant"),
        ("bytes", "in s", "p50 ms", "p95 ms", "accuracy", "labels"),
        "phase",
    )
    for d in report["devices"]:
        sim = " (sim)" if d["simulated"] and not everywhere else ""
        table.add_row(
            d["id"],
            d["region"],
            d["hardware"] + sim,
            d["link"] + sim,
            f"{d['recipe']} {d['variant'][:8]}" if d["variant"] else "–",
            number(d["delivery_bytes"], ",d"),
            number(d["transfer_s"], ".1f"),
            number(d["p50_ms"]),
            number(d["p95_ms"]),
            percent(d["accuracy"]),
            f"{d['samples']:,d}",
            d["phase"] or "–",
        )
    return table


def choice_lines(choices: Iterable[Json], variants: Iterable[Json]) -> Iterator[str]:
    """What each profile gets, and the reason against each of the others."""
    recipes = {v["id"]: v for v in variants}
    for choice in choices:
        chosen = recipes.get(choice["variant"])
        because = choice["reasons"].get(choice["variant"], "no variant meets its constraints")
        gets = _name(chosen) if chosen else "nothing"
        yield f"[bold]{choice['profile']}[/bold] (sim) gets [bold]{gets}[/bold]: {because}"
        for variant, reason in choice["reasons"].items():
            if variant != choice["variant"] and variant in recipes:
                yield f"    not {_name(recipes[variant])}: {reason}"


def _name(variant: Json) -> str:
    made_for = ", ".join(variant["instruction_sets"])
    return f"{variant['recipe']} for {made_for}" if made_for else str(variant["recipe"])
