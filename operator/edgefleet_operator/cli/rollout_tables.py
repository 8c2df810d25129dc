"""Prints plans, rollouts and their devices as tables."""

from collections.abc import Sequence

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import ExecutionRecord, PlannedExecutionView, PlanView, RolloutSpec, RolloutView
from edgefleet_operator.cli.energy import print_energy
from edgefleet_operator.cli.slow_links import slow_link_lines
from edgefleet_operator.cli.version_pairs import pair_lines
from edgefleet_operator.cli.watch import header, way_back, ways_back
from edgefleet_operator.cli.waves import DeviceTally, fetch_lines
from edgefleet_operator.cli.windows import wait_lines, window_facts
from edgefleet_operator.client import Client
from edgefleet_operator.figures import NONE, count, marked, number, progress, short, size, when
from edgefleet_operator.printing import console, print_facts, print_table
from edgefleet_protocol.phases import ENDED

OFFLINE = "offline"


def print_plan(client: Client, planned: PlanView, asked: RolloutSpec) -> None:
    """Print every wave with its devices, and what each device gets."""
    variants = {v.id: v for v in client.variants.all(planned.model)}
    simulated, offline = _standing(client, planned.selector)
    rows = []
    for execution in (e for wave in planned.waves for e in wave):
        variant = variants.get(execution.variant or "")
        gets = {
            "no_variant": f"nothing: {execution.detail}",
            "already_installed": "runs it already",
            "deferred": f"nothing: {execution.detail}",
        }
        rows.append(
            (
                *(str(execution.wave), execution.device),
                marked(execution.profile, execution.device in simulated),
                variant.recipe if variant else NONE,
                *(short(execution.variant), size(execution.fetches_bytes)),
                gets.get(execution.phase) or _does(execution, execution.device in offline),
            )
        )
    reach = f"{counted(len(planned.waves), 'wave')}, {counted(len(rows), 'device')}"
    title = f"{planned.model} to '{planned.selector or 'everyone'}': {reach}"
    columns = (">wave", "device", "profile", "recipe", "variant", ">at most", "what it does...")
    print_table(columns, rows, title=title, caption="(sim): simulated hardware" if simulated else "")
    if waiting := [e for wave in planned.waves for e in wave if e.device in offline and e.phase not in gets]:
        until = number(asked.timers.unreachable_s)
        console().print(
            f"{counted(len(waiting), 'device')} offline: a wave waits up to unreachable_s for each, {until} s"
        )
    if planned.ends_at_once:
        console().print(f"it would end at once as {planned.ends_at_once}")
    for one in planned.rejected:
        recipe = variants[one.variant].recipe if one.variant in variants else short(one.variant)
        console().print(f"{recipe} was rejected on {one.profile} in rollout {one.rollout}, {when(one.at_ms)}")
    for line in pair_lines(planned, _recipes(client, planned)):
        console().print(line)
    for unknown in planned.room_unknown:
        console().print(f"not known of {counted(unknown.devices, 'device')} whether it fits into memory: {unknown.why}")
    for line in slow_link_lines(planned.slow_links, asked.timers.wave_s):
        console().print(line)
    print_energy(planned.energy_costs, {v.id: v.recipe for v in variants.values()})
    gate = ", ".join(f"{k} {number(v)}" for k, v in asked.gate.model_dump().items())
    timers = ", ".join(f"{k} {number(v)}" for k, v in asked.timers.model_dump().items())
    share, at_once = f"{100 * asked.start_share:g}%", number(asked.concurrency)
    others = [("start_share", share), ("concurrency", at_once), ("on_failure", asked.on_failure)]
    print_facts([("gate", gate), ("timers", timers), *others, *window_facts(planned.windows)])


def _does(execution: PlannedExecutionView, offline: bool) -> str:
    does = "has its file, fetches the rest, switches" if execution.holds_model else "fetches and switches"
    return f"{OFFLINE}: " * offline + (does if execution.fetches_bytes else "has it, switches")


def _recipes(client: Client, planned: PlanView) -> dict[str, str]:
    """The recipes of what devices would get and of what they have, by variant."""
    models = {model for pair in planned.pairs for model in (pair.before_model, pair.after_model) if model}
    return {v.id: v.recipe for model in sorted(models) for v in client.variants.all(model)}


def print_rollout(rollout: RolloutView) -> None:
    """Print a rollout wave by wave, with the evidence for each decision."""
    console().print(header(rollout))
    print_facts(
        [
            ("id", rollout.id),
            ("selector", rollout.selector or "everyone"),
            ("started", when(rollout.created_ms)),
            ("changed", when(rollout.changed_ms)),
            ("devices", str(DeviceTally.of(rollout.counts))),
            ("way back", way_back(rollout) or NONE),
            *(("", line) for line in ways_back(rollout)),
            *([("watched until", when(rollout.watched_until_ms))] if rollout.watched_until_ms else ()),
            *(window_facts(rollout.windows) if rollout.windows else ()),
        ]
    )
    rows = []
    for wave in rollout.waves:
        tally = DeviceTally.of(wave.counts)
        figures = map(count, (tally.committed, tally.under_way, tally.failed, tally.passed_over, tally.total))
        rows.append((str(wave.number), wave.state, *figures, wave.reason or NONE))
    columns = (">wave", "state", ">committed", ">under way", ">failed", ">passed over", ">of", "why...")
    print_table(columns, rows)
    for line in (*fetch_lines(rollout), *wait_lines(rollout)):
        console().print(line)
    for wave in rollout.waves:
        for line in wave.evidence:
            console().print(f"wave {wave.number}: {line}")
    for alert in rollout.alerts:
        console().print(_alert_line(alert))


def _alert_line(alert: AlertRecord) -> str:
    if alert.state == "ended":
        return f"alert of {when(alert.first_ms)}, ended {when(alert.ended_ms)} ({alert.ended_because}): {alert.text}"
    return f"alert since {when(alert.first_ms)}: {alert.text}: {alert.do}"


def print_devices(client: Client, selector: str, executions: Sequence[ExecutionRecord]) -> None:
    """Print the devices of a rollout, each with its phase, and its way back if it took one."""
    simulated, offline = _standing(client, selector)
    simulated |= {e.device for e in executions if e.simulated}
    rows = []
    for e in executions:
        why = ": ".join(filter(None, (e.reason, e.detail)))
        to = short(e.back_variant) if e.back_variant else "nothing"
        back = f"back to {to}: {e.back_phase}" if e.back_phase else ""
        gone = "" if e.removed_ms is None or e.phase == "removed" else f"removed from the fleet {when(e.removed_ms)}"
        waits = e.device in offline and (e.back_phase or e.phase) not in ENDED
        rows.append(
            (
                *(e.device, str(e.wave), marked(e.profile, e.device in simulated), short(e.variant)),
                *(
                    e.phase,
                    progress(e.transfer_bytes, e.transfer_total_bytes, e.transfer_s),
                    "; ".join(filter(None, (why, back, gone, OFFLINE if waits else ""))) or NONE,
                ),
            )
        )
    columns = ("device", ">wave", "profile", "variant", "phase", ">transfer", "why...")
    caption = "(sim): simulated hardware" if simulated.intersection(e.device for e in executions) else ""
    print_table(columns, rows, caption=caption, nothing="no such devices")


def _standing(client: Client, selector: str) -> tuple[set[str], set[str]]:
    """The devices with simulated hardware, and those that are offline."""
    devices = list(client.devices.all(selector))
    return {d.id for d in devices if d.simulated}, {d.id for d in devices if not d.online}
