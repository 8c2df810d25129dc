"""Makes the demo's report from answers of the REST API, and checks that it is as it should be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from edgefleet_contract.base import Shape
from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.devices import DeviceView
from edgefleet_contract.rollouts import ExecutionRecord, RolloutView
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_contract.variants import VariantView


class DemoDevice(Shape):
    """A device: the variant chosen for it, the one that answers, and its measurements; None means not measured."""

    id: str
    profile: str
    region: str
    hardware: str
    link: str
    simulated: bool
    chosen: str | None
    variant: str | None
    recipe: str | None
    phase: str | None
    delivery_bytes: int | None
    transfer_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    accuracy: float | None
    samples: int
    requests: int
    errors: int


class DemoRollout(Shape):
    """A rollout, how it ended, and which devices it reached."""

    id: str
    model: str
    segment: str | None
    state: str
    reason: str | None
    counts: dict[str, int]
    counts_back: dict[str, int]
    devices_exposed: list[str]
    evidence: list[str]
    first_wave: list[str]


class DemoReport(Shape):
    """The report of a whole run."""

    rollouts: list[DemoRollout]
    variants: list[VariantView]
    devices: list[DemoDevice]


def make_report(
    rollouts: Sequence[RolloutView],
    executions: Mapping[str, Sequence[ExecutionRecord]],
    variants: Sequence[VariantView],
    choices: Mapping[str, ChoiceView],
    devices: Iterable[DeviceView],
    telemetry: Iterable[TelemetryView],
) -> DemoReport:
    """Make the report of a demo run.

    Args:
        rollouts: all rollouts, oldest first.
        executions: the executions of each rollout, by its id.
        variants: all variants.
        choices: the choices for the last version, by profile.
        devices: the demo's devices.
        telemetry: the last version's telemetry, grouped by device and variant.
    """
    recipes = {v.id: v.recipe for v in variants}
    measured = {(t.group["device"], t.group["variant"]): t for t in telemetry}
    latest = {e.device: e for e in executions[rollouts[-1].id]} if rollouts else {}

    def shown(device: DeviceView) -> DemoDevice:
        choice, answering = choices.get(device.profile), answering_of(device)
        return _device(
            device,
            choice.variant if choice else None,
            answering,
            recipes.get(answering or ""),
            latest.get(device.id),
            measured.get((device.id, answering)),
        )

    return DemoReport(
        rollouts=[_rollout(r, executions[r.id]) for r in rollouts],
        variants=list(variants),
        devices=[shown(device) for device in devices],
    )


def answering_of(device: DeviceView) -> str | None:
    """The variant that answers on a device."""
    return next((m.answering.variant for m in device.models.values() if m.answering), None)


def _device(
    device: DeviceView,
    chosen: str | None,
    answering: str | None,
    recipe: str | None,
    execution: ExecutionRecord | None,
    window: TelemetryView | None,
) -> DemoDevice:
    return DemoDevice(
        id=device.id,
        profile=device.profile,
        region=device.region,
        hardware=device.hardware,
        link=device.link,
        simulated=device.simulated,
        chosen=chosen,
        variant=answering,
        recipe=recipe,
        phase=execution.phase if execution else None,
        delivery_bytes=execution.transfer_bytes if execution else None,
        transfer_s=execution.transfer_s if execution else None,
        p50_ms=window.p50_ms if window else None,
        p95_ms=window.p95_ms if window else None,
        accuracy=window.accuracy if window else None,
        samples=window.labelled if window else 0,
        requests=window.requests if window else 0,
        errors=window.errors if window else 0,
    )


def _rollout(rollout: RolloutView, executions: Sequence[ExecutionRecord]) -> DemoRollout:
    return DemoRollout(
        id=rollout.id,
        model=rollout.model,
        segment=rollout.segment,
        state=rollout.state,
        reason=rollout.reason,
        counts=rollout.counts,
        counts_back=rollout.counts_back,
        devices_exposed=[e.device for e in executions if e.exposed],
        evidence=[line for wave in rollout.waves for line in wave.evidence],
        first_wave=[e.device for e in executions if e.wave == 1],
    )


def faults(report: DemoReport, wanted: Mapping[str, str]) -> list[str]:
    """List what is not as it should be, one line each; an empty list means that the loop closed.

    Args:
        report: the report.
        wanted: the state in which each rollout should have ended, by its id.
    """
    found = [
        f"rollout {r.id} of {r.model} is {r.state}, not {wanted[r.id]}: {r.reason}"
        for r in report.rollouts
        if r.state != wanted[r.id]
    ]
    for rollout in report.rollouts:
        beyond = set(rollout.devices_exposed) - set(rollout.first_wave)
        if wanted[rollout.id] == "rolled_back" and (beyond or not rollout.devices_exposed):
            found.append(
                f"rollout {rollout.id} should have stopped in its first wave; it reached {rollout.devices_exposed}"
            )
    for device in report.devices:
        if device.phase != "committed":
            found.append(f"{device.id} is {device.phase}, not committed")
        if device.chosen is None or device.variant != device.chosen:
            found.append(f"{device.id} runs {device.recipe}, which is not the variant chosen for its profile")
        if not device.samples:
            found.append(f"{device.id} reported no labelled answer from its variant")
    used = {device.variant for device in report.devices}
    if len(used) < 3:
        found.append(f"only {len(used)} different variants are in use")
    return found


def number(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """Format a figure for a table; a dash if it was not measured."""
    return "–" if value is None else f"{value:{form}}{unit}"


def percent(value: float | None) -> str:
    """Format a share for a table."""
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


def variant_table(report: DemoReport) -> Table:
    """Make the table of variants, as measured on this machine."""
    host = next((v.measured_on for v in report.variants if v.measured_on), "this machine")
    columns = ("model", "recipe", "made for")
    figures = ("accuracy", "95 % from", "to", "agreement", "file bytes", "zstd bytes", "p50 ms", "p95 ms")
    table = _table(f"Variants, measured on {host}; accuracy on the test split", columns, figures)
    for v in report.variants:
        low, high = v.accuracy_ci or (None, None)
        table.add_row(
            v.model,
            v.recipe,
            ", ".join(v.instruction_sets) or "any",
            percent(v.accuracy),
            percent(low),
            percent(high),
            percent(v.agreement),
            number(v.file_bytes, ",d"),
            number(v.encoding_bytes, ",d"),
            number(v.p50_ms, ".3f"),
            number(v.p95_ms, ".3f"),
        )
    return table


def device_table(report: DemoReport) -> Table:
    """Make the table of devices, as they report themselves."""
    everywhere = all(d.simulated for d in report.devices)
    marked = " (sim)" if everywhere else ""
    table = _table(
        "The fleet, from the REST API (sim: simulated on this machine)",
        ("device", "region", f"hardware{marked}", f"link{marked}", "recipe, variant"),
        ("bytes", "in s", "p50 ms", "p95 ms", "accuracy", "labels"),
        "phase",
    )
    for d in report.devices:
        sim = " (sim)" if d.simulated and not everywhere else ""
        table.add_row(
            d.id,
            d.region,
            d.hardware + sim,
            d.link + sim,
            f"{d.recipe} {d.variant[:8]}" if d.variant else "–",
            number(d.delivery_bytes, ",d"),
            number(d.transfer_s, ".1f"),
            number(d.p50_ms),
            number(d.p95_ms),
            percent(d.accuracy),
            f"{d.samples:,d}",
            d.phase or "–",
        )
    return table


def choice_lines(choices: Iterable[ChoiceView], variants: Iterable[VariantView]) -> Iterator[str]:
    """Say what each profile gets, and why not each of the other variants."""
    recipes = {v.id: v for v in variants}
    for choice in choices:
        chosen = recipes.get(choice.variant or "")
        because = choice.reasons.get(choice.variant or "", "no variant meets its constraints")
        gets = chosen.label if chosen else "nothing"
        yield f"[bold]{choice.profile}[/bold] (sim) gets [bold]{gets}[/bold]: {because}"
        for variant, reason in choice.reasons.items():
            if variant != choice.variant and variant in recipes:
                yield f"    not {recipes[variant].label}: {reason}"
