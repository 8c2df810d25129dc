"""Makes the demo's report from answers of the REST API, and checks that it is as it should be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console

from edgefleet_contract.base import Shape
from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.devices import DeviceView
from edgefleet_contract.measures import MeasureView
from edgefleet_contract.rollouts import ExecutionRecord, RolloutView
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.figures import NONE, count, marked, measured, ms, share, short, span
from edgefleet_operator.measures import Quality, TitledFigures
from edgefleet_operator.printing import print_table


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
    measure: MeasureView | None
    score: float | None
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
    measured = {(t.group.device, t.group.variant): t for t in telemetry}
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
        measure=window.measure if window else None,
        score=window.score if window else None,
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


def faults(report: DemoReport, wanted: Mapping[str, str], different_variants: int = 3) -> list[str]:
    """List what is not as it should be, one line each; an empty list means that the loop closed.

    Args:
        report: the report.
        wanted: the state in which each rollout should have ended, by its id.
        different_variants: how many should be in use.
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
        if not device.samples and (device.measure is None or device.measure.scored):
            found.append(f"{device.id} reported no labelled answer from its variant")
    used = {device.variant for device in report.devices}
    if len(used) < different_variants:
        found.append(f"only {len(used)} different variants are in use")
    return found


def print_variants(report: DemoReport, out: Console) -> None:
    """Print the variants, as measured on this machine."""
    host = next((v.measured_on for v in report.variants if v.measured_on), "this machine")
    texts = ("model", "recipe", "made for")
    scored = [v.measure for v in report.variants if v.measure.scored]
    scores, headlines = TitledFigures.of(scored), Quality(report.variants).headlines
    of_scores = (f">{scores.title}", ">95 % from", ">to") if scored else ()
    named = (*of_scores, *(title for title, _ in headlines), ">agreement")
    rows = []
    for v in report.variants:
        low, high = v.score_ci or (None, None)
        rows.append(
            (
                *(v.model, v.recipe, ", ".join(v.instruction_sets) or "any"),
                *(scores.show(v.score, v.measure), measured(low, v.measure), measured(high, v.measure))[
                    : len(of_scores)
                ],
                *(*(show(v) for _, show in headlines), share(v.agreement)),
                *(count(v.file_bytes), count(v.encoding_bytes), ms(v.p50_ms), ms(v.p95_ms)),
            )
        )
    title = f"Variants, measured on {host}; {scores.title if scored else 'agreement'} on the test split"
    print_table((*texts, *named, ">file bytes", ">zstd bytes", ">p50", ">p95"), rows, title=title, out=out)


def print_devices(report: DemoReport, out: Console) -> None:
    """Print the devices, as they report themselves."""
    everywhere = all(d.simulated for d in report.devices)
    sim = " (sim)" if everywhere else ""
    texts = ("device", "region", f"hardware{sim}", f"link{sim}", "recipe, variant...")
    scores = TitledFigures.of(d.measure for d in report.devices if d.measure and d.measure.scored)
    figures = (">bytes", ">in", ">p50", ">p95", f">{scores.title}", ">labels")
    rows = []
    for d in report.devices:
        simulated = d.simulated and not everywhere
        rows.append(
            (
                *(d.id, d.region, marked(d.hardware, simulated), marked(d.link, simulated)),
                f"{d.recipe} {short(d.variant)}" if d.variant else NONE,
                *(count(d.delivery_bytes), span(d.transfer_s), ms(d.p50_ms), ms(d.p95_ms)),
                scores.show(d.score, d.measure) if d.measure else NONE,
                *(count(d.samples), d.phase or NONE),
            )
        )
    title = "The fleet, from the REST API (sim: simulated on this machine)"
    print_table((*texts, *figures, "phase"), rows, title=title, out=out)


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
