"""Plays the acts of the demo, one after the other; everything it shows comes from the public REST API."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from edgefleet_contract.announcement import ANNOUNCED_IN, Announcement
from edgefleet_contract.devices import DeviceView
from edgefleet_contract.operations import BuildResult, OperationRecord
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_operator.client import Client
from edgefleet_operator.demo import fleet
from edgefleet_operator.demo.examples import DemoExample, find_example
from edgefleet_operator.demo.patience import POLL_S, wait_for
from edgefleet_operator.demo.processes import DemoProcesses, end_kept, kept
from edgefleet_operator.demo.report import (
    DemoReport,
    answering_of,
    choice_lines,
    faults,
    make_report,
    print_devices,
    print_variants,
)
from edgefleet_operator.demo.versions import damaged as damaged_file
from edgefleet_operator.demo.versions import make_version
from edgefleet_operator.errors import ApiError, OperatorError
from edgefleet_operator.live import LiveBars
from edgefleet_operator.short_ids import with_short_ids
from edgefleet_process.children import run_file, run_module

T = TypeVar("T")

START_S, ROLLOUT_S, LABELS_S = 60, 240, 90
"""How long the start of processes, a rollout, and the labels of its answers may make no progress; the controller ends
builds that hang."""
ANSWER_S = 600
"""For an answer of the controller: a busy machine is no reason to give up while its process runs."""
OK, ROLLOUT_FAILED = 0, 3
MISSED = ("fell silent", "no answer", "wrong status", "label refused")


@dataclass(frozen=True)
class DemoSettings:
    """Where the demo keeps its state and finds its examples, and which it shows; `keep` leaves everything running."""

    state: Path
    examples: Path
    example: str
    keep: bool


class Demo:
    """One run of the demo."""

    def __init__(
        self, settings: DemoSettings, example: DemoExample, processes: DemoProcesses, console: Console
    ) -> None:
        self._settings = settings
        self._example = example
        self._processes = processes
        self._console = console
        self._controller = settings.state / "controller"
        self._client: Client | None = None
        self._wanted: dict[str, str] = {}
        self._faults: list[str] = []

    def run(self) -> int:
        """Play every act, and return the exit status."""
        started = time.monotonic()
        try:
            return self._play(started)
        finally:
            if self._client:
                self._client.close()

    def _play(self, started: float) -> int:
        self._say("1. Start a broker, a controller and six agents, each in its own process")
        self._start_controller()
        self._start_agents()
        self._say("2. Register the model, and compress it for every profile in the fleet")
        first = self._api.models.add(self._example.folder).model
        self._watch_build(self._build(first))
        self._tell_choices(first)
        versions = self._example.versions
        damaged, damaged_build = self._next_version(2, damaged_file(self._example), versions.damaged_recipes)
        finetuned, finetuned_build = self._next_version(3, (self._example.folder / versions.finetuned).read_bytes())
        self._console.print(f"  {damaged} and {finetuned} are being built in the meantime")
        self._say(f"3. Start an application that asks every agent, and roll out {first} to two segments, in waves")
        self._start_workload()
        for name, selector in fleet.SEGMENTS:
            self._api.segments.save(name, selector)
            self._roll_out(first, "completed", segment=name)
        self._wait_for_labels()
        self._say(f"4. Roll out {damaged}, which is damaged: it passes its self-test but confuses classes")
        self._watch_build(damaged_build)
        before = self._answering()
        self._see_refused(damaged)
        self._roll_out(damaged, "rolled_back", soak_s=self._enough_soak_s(), accept_drop=True)
        self._unchanged_since(before)
        self._say(f"5. Roll out {finetuned}, finetuned, to everyone")
        self._watch_build(finetuned_build)
        self._roll_out(finetuned, "completed")
        self._wait_for_labels()
        self._say("6. What the fleet reports")
        report = self._report(finetuned)
        print_variants(report, self._console)
        print_devices(report, self._console)
        return self._conclude(report, time.monotonic() - started)

    @property
    def _api(self) -> Client:
        if self._client is None:
            raise OperatorError("the controller is not up yet")
        return self._client

    def _say(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def _start_controller(self) -> None:
        announced = self._controller / ANNOUNCED_IN
        announced.unlink(missing_ok=True)
        arguments = ("serve", "--state", str(self._controller), "--tick", "0.25", "--hello-jitter", "0.2")
        self._processes.start("controller", run_module("edgefleet_operator", *arguments))
        busy = partial(self._processes.cpu_s, "controller")
        where = self._wait("the controller", START_S, lambda: _announced(announced), busy)
        self._client = Client(where.api, timeout_s=ANSWER_S)
        self._wait("the broker", START_S, lambda: self._api.health().status == "ok", busy)
        self._console.print(f"controller {where.api}, broker {where.broker}")
        self._broker = where.broker

    def _start_agents(self) -> None:
        for device in fleet.FLEET:
            command = run_module(
                *("edgefleet_agent", "run", "--state", str(self._settings.state / "agents" / device.id)),
                *("--device", device.id, "--broker", self._broker, "--http", "127.0.0.1:0"),
                *("--region", device.region, "--link", device.link, "--simulate-hardware", device.hardware),
                *("--heartbeat", str(fleet.HEARTBEAT_S), "--window", str(fleet.WINDOW_S)),
            )
            self._processes.start(device.id, command)

        def missing() -> set[str]:
            return {device.id for device in fleet.FLEET} - {d.id for d in self._devices()}

        def progress() -> object:
            return {name: self._processes.cpu_s(name) for name in missing()}

        self._wait("six agents", START_S, lambda: not missing(), progress)
        for d in self._devices():
            self._api.devices.accept(d.id)
            self._console.print(f"  {d.id:<12} {d.profile:<28} (simulated) {d.endpoint}")

    def _devices(self) -> list[DeviceView]:
        wanted = {device.id for device in fleet.FLEET}
        return [d for d in self._api.devices.all() if d.id in wanted and d.online and d.endpoint]

    def _next_version(
        self, version: int, weights: bytes, recipes: list[str] | None = None
    ) -> tuple[str, OperationRecord]:
        folder = make_version(self._example, self._settings.state / "models" / str(version), version, weights)
        model = self._api.models.add(folder).model
        return model, self._build(model, recipes)

    def _build(self, model: str, recipes: list[str] | None = None) -> OperationRecord:
        profiles = sorted({device.profile for device in fleet.FLEET})
        return self._api.builds.start(model, profiles=profiles, recipes=recipes)

    def _tell_choices(self, model: str) -> None:
        variants = list(self._api.variants.all(model))
        for line in choice_lines(self._api.models.choices(model), variants):
            self._console.print(f"  {line}", highlight=False)

    def _watch_build(self, operation: OperationRecord) -> None:
        with LiveBars(self._console) as shown:
            for latest in self._api.operations.watch(operation.id, poll_s=POLL_S):
                self._processes.check()
                operation = latest
                shown.show(latest.progress)
        if not isinstance(operation.result, BuildResult):
            raise OperatorError(f"compression failed: {operation.error}")
        for recipe, error in operation.result.failed.items():
            self._console.print(f"  [red]{recipe} could not be built: {error}[/red]")

    def _start_workload(self) -> None:
        endpoints = [f"--endpoint={d.id}={d.endpoint}" for d in self._devices()]
        example = self._example
        data = ("--data", str(example.folder / example.card.data.file), "--model", example.name)
        self._processes.start("workload", run_file(self._settings.examples / "workload.py", *data, *endpoints))

    def _see_refused(self, model: str) -> None:
        """See a plan refused, since val shows the damage before any device does."""
        name, version = model.split("@")
        try:
            self._api.rollouts.plan(RolloutSpec(model=name, version=int(version), everyone=True))
        except ApiError as refused:
            if "--accept-drop" not in str(refused):
                raise
            self._console.print(f"  {refused}\n  started all the same, to see what live labels say", highlight=False)
        else:
            self._faults.append(f"the plan of {model} was not refused")

    def _roll_out(
        self,
        model: str,
        wanted: str,
        *,
        segment: str | None = None,
        soak_s: float | None = None,
        accept_drop: bool = False,
    ) -> None:
        name, version = model.split("@")
        spec = RolloutSpec(
            model=name,
            version=int(version),
            segment=segment,
            everyone=segment is None,
            waves=fleet.WAVES,
            gate=fleet.GATE.model_copy(update={"soak_s": soak_s} if soak_s else {}),
            timers=fleet.TIMERS,
            accept_drop=accept_drop,
        )
        rollout = self._api.rollouts.start(spec)
        self._wanted[rollout.id] = wanted
        shown = with_short_ids(rollout.id)
        self._console.print(f"  rollout {shown} of {model} to {rollout.selector or 'everyone'}")
        told: set[tuple[int, str]] = set()

        def ended() -> bool:
            now = self._api.rollouts.get(rollout.id)
            for wave in now.waves:
                if wave.state != "pending" and (wave.number, wave.state) not in told:
                    told.add((wave.number, wave.state))
                    self._console.print(f"    wave {wave.number} {wave.state:<10} {wave.reason}")
            return now.rests

        def progress() -> object:
            waves = [(wave.state, wave.counts) for wave in self._api.rollouts.get(rollout.id).waves]
            return waves, [d.models[name].attempt for d in self._devices() if name in d.models]

        self._wait(f"the rollout of {model}", ROLLOUT_S + spec.gate.soak_s, ended, progress)
        ended_as = self._api.rollouts.get(rollout.id)
        self._console.print(f"    {ended_as.state}: {ended_as.reason}")

    def _answering(self) -> dict[str, str | None]:
        return {d.id: answering_of(d) for d in self._devices()}

    def _unchanged_since(self, before: dict[str, str | None]) -> None:
        now = self._answering()
        for device, variant in before.items():
            if now.get(device) != variant:
                self._faults.append(f"{device} did not return to the variant it ran before {self._example.name}@2")
        self._console.print(
            "    every device answers as before" if now == before else "    [red]not every device is back[/red]"
        )

    def _labels(self) -> dict[str, int]:
        """How many labelled answers each device has reported from what it runs now."""
        found = self._api.telemetry.all(("device", "variant"))
        known = {(t.group.device, t.group.variant): t.labelled for t in found}
        return {d.id: known.get((d.id, answering_of(d)), 0) for d in self._devices()}

    def _wait_for_labels(self, enough: int = fleet.ENOUGH_LABELS, since: Mapping[str, int] | None = None) -> None:
        """Wait until every device has reported so many labelled answers from what it runs, or no more arrive."""

        def came() -> list[int]:
            return [min(count - (since or {}).get(device, 0), enough) for device, count in self._labels().items()]

        try:
            self._wait("labelled answers", LABELS_S, lambda: min(came(), default=0) >= enough, came)
        except OperatorError as error:
            self._console.print(f"  [yellow]{error}[/yellow]")

    def _enough_soak_s(self) -> float:
        """How long a wave must soak for its gate to see enough labels: twice as long as they take to come now."""
        began_s = time.monotonic()
        self._wait_for_labels(fleet.GATE.min_labels, self._labels())
        return min(max(fleet.LONG_SOAK_S, 2 * (time.monotonic() - began_s)), fleet.MOST_SOAK_S)

    def _report(self, model: str) -> DemoReport:
        self._faults += self._missed_answers()
        rollouts = list(self._api.rollouts.all())
        executions = {r.id: list(self._api.rollouts.executions(r.id)) for r in rollouts}
        choices = {c.profile: c for c in self._api.models.choices(model)}
        telemetry = self._api.telemetry.all(("device", "variant"), model=model)
        wanted = {device.id for device in fleet.FLEET}
        devices = [d for d in self._api.devices.all() if d.id in wanted]
        variants = list(self._api.variants.all())
        report = make_report(rollouts, executions, variants, choices, devices, telemetry)
        path = self._settings.state / "report.json"
        path.write_text(report.model_dump_json(indent=1))
        self._console.print(f"  written to {path}")
        return report

    def _missed_answers(self) -> list[str]:
        """List the answers that the application missed after an agent's first answer; there should be none."""
        if self._settings.keep:
            return []
        self._processes.stop("workload")
        counts = json.loads(self._processes.log("workload"))
        answered = sum(of.get("answered", 0) for of in counts.values())
        missed = {f"{name}: {what}": n for name, of in counts.items() for what, n in of.items() if what in MISSED}
        self._console.print(f"  the application asked {answered:,} times and missed {sum(missed.values())} answers")
        return [f"the application missed answers: {what} ({n})" for what, n in missed.items()]

    def _conclude(self, report: DemoReport, seconds: float) -> int:
        found = [*self._faults, *faults(report, self._wanted, self._example.versions.different_variants)]
        for fault in found:
            self._console.print(f"[red]  {fault}[/red]")
        self._console.print(
            f"\n{'Not everything went as it should' if found else 'The loop closed'}, in {seconds:.0f} s."
        )
        if self._settings.keep:
            self._console.print(f"Everything is left running: API {self._api.url}/docs, broker {self._broker}")
            for device in self._devices():
                self._console.print(f"  {device.id:<12} {device.endpoint}/v2/models/{self._example.name}")
        return ROLLOUT_FAILED if found else OK

    def _wait(self, what: str, seconds: float, condition: Callable[[], T | None], progress: Callable[[], object]) -> T:
        """Wait for something with progress, and check every process meanwhile.

        Raises:
            OperatorError: nothing changed for `seconds`.
        """

        def checked() -> T | None:
            self._processes.check()
            return condition()

        try:
            return wait_for(what, checked, progress, silent_s=seconds)
        except OperatorError as error:
            raise OperatorError(f"{error}: see {self._settings.state}/logs") from None


def run_demo(settings: DemoSettings, console: Console) -> int:
    """Run the demo in its state folder, and return the exit status.

    Raises:
        OperatorError: a part did not start or did not answer in time.
    """
    example = find_example(settings.examples, settings.example)
    _begin_anew(settings.state)
    with DemoProcesses(settings.state) as processes:
        status = Demo(settings, example, processes, console).run()
        if settings.keep:
            processes.leave()
    return status


def stop_demo(state: Path, console: Console) -> int:
    """Stop what a run with --keep left running."""
    ended = end_kept(state)
    console.print(f"stopped {', '.join(ended)}" if ended else f"nothing of {state} is running")
    return OK


def _begin_anew(state: Path) -> None:
    """Delete the last run's state, but keep its cache of finished steps.

    Raises:
        OperatorError: that run is still going on.
    """
    if running := kept(state):
        raise OperatorError(f"still running in {state}: {', '.join(running)}; stop them with `edgefleet demo --stop`")
    controller = state / "controller"
    for path in controller.iterdir() if (controller / "controller.lock").exists() else ():
        if path.name != "cache":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for device in fleet.FLEET:
        shutil.rmtree(state / "agents" / device.id, ignore_errors=True)
    shutil.rmtree(state / "logs", ignore_errors=True)
    (state / "report.json").unlink(missing_ok=True)


def _announced(path: Path) -> Announcement | None:
    try:
        return Announcement.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
