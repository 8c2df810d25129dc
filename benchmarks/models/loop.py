"""The loop: every public model through one controller, one real agent and a real broker, as an operator takes it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from benchmarks.models.errors import NotFetched
from benchmarks.models.loop_row import NONE, LoopRow, StageFailed
from benchmarks.models.model_folder import ModelFolder, folder_of
from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import MadeSamples, PublicModel
from benchmarks.models.reference import Reference, nearness
from benchmarks.models.requests import labels_in_json, requests_of
from benchmarks.models.samples_file import rows_of
from benchmarks.models.triton import Triton
from benchmarks.processes import Agent, Controller, wait
from edgefleet_agent.journal import Journal
from edgefleet_contract.card import ModelCard, load_card
from edgefleet_contract.operations import BuildResult
from edgefleet_contract.readings import TensorView
from edgefleet_contract.rollouts import Gate, RolloutSpec, RolloutView, Timers
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_operator.client import Client
from edgefleet_operator.errors import WaitTimeout
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.registry import task_named

DEVICE = "bench-1"
SAMPLES = 16
"""Of val are sent to the device, or whole sequences of it."""
SEQUENCES = 4
ROLLOUT_S, TELEMETRY_S, READY_S = 120.0, 30.0, 30.0
LEAST_NEAR = 0.5
"""FileAnswers further than this from the file's own are those of another model: a lossy variant is far nearer."""
GATE = Gate(soak_s=0.2, failure_threshold=0.0, success_threshold=1.0)
TIMERS = Timers(trial_s=0.5)


@dataclass(frozen=True)
class LoopPlace:
    """Where the loop runs: the processes, the profile of the one device, and where folders of models are kept.

    `recipes` None means all that are shipped.
    """

    controller: Controller
    agent: Agent
    profile: str
    shelf: Shelf
    folders: Path
    build_s: float
    recipes: Sequence[str] | None = None

    @property
    def api(self) -> Client:
        """The controller's."""
        return self.controller.api


def through(models: Sequence[PublicModel], place: LoopPlace, console: Console) -> list[LoopRow]:
    """Each model from its file to a rollback; what stops one stops no other."""
    rows = []
    for model in models:
        row, began = LoopRow(model), time.monotonic()
        try:
            _OneLoop(model, place, row).run()
        except (StageFailed, NotFetched) as error:
            row.reason = row.reason or str(error)
        row.seconds = time.monotonic() - began
        row.tell(console)
        rows.append(row)
    return rows


class _OneLoop:
    """One model's way."""

    def __init__(self, model: PublicModel, place: LoopPlace, row: LoopRow) -> None:
        self._model, self._place, self._row = model, place, row
        self._api, self._ref = place.api, f"{model.name}@1"
        self._rollout: RolloutView | None = None

    def run(self) -> None:
        """Every stage in turn, and the device without the model at the end whatever came of it."""
        made = folder_of(self._model, self._place.shelf, self._place.folders)
        with self._row.stage("add"):
            self._add(made)
        with self._row.stage("compress"):
            self._compress()
        try:
            with self._row.stage("rollout"):
                self._roll_out()
            with self._row.stage("self-test"):
                self._self_test()
            reference = Reference(made.onnx, self._model)
            count = SEQUENCES if reference.ranks.state else SAMPLES
            samples = rows_of(made.data, "val", list(reference.ranks.inputs), count)
            with self._row.stage("requests"):
                self._ask(samples, reference, load_card(made.path))
            with self._row.stage("feedback"):
                self._feed_back(samples)
        finally:
            if self._rollout is not None:
                with self._row.stage("rollback"):
                    self._roll_back(self._rollout)

    def _add(self, made: ModelFolder) -> None:
        models = self._api.models
        added = models.add(made.path) if made.tells else models.add_onnx(made.onnx, made.data, self._model.name)
        self._row.notes["registered"] = added.model_dump(mode="json")

    def _compress(self) -> None:
        operation = self._api.builds.start(self._ref, profiles=[self._place.profile], recipes=self._place.recipes)
        try:
            done = self._api.operations.wait(operation.id, timeout_s=self._place.build_s)
        except WaitTimeout:
            self._api.operations.cancel(operation.id)
            raise StageFailed(f"no build within {self._place.build_s:g} s") from None
        if not isinstance(done.result, BuildResult):
            raise StageFailed(done.error or f"the build {done.state}")
        self._row.notes["failed"], self._row.notes["not applicable"] = done.result.failed, done.result.not_applicable
        if not done.result.variants:
            raise StageFailed(f"no variant: {'; '.join(done.result.failed.values()) or 'nothing applies'}")

    def _roll_out(self) -> None:
        spec = RolloutSpec(model=self._model.name, version=1, everyone=True, waves=(1.0,), gate=GATE, timers=TIMERS)
        self._rollout = self._api.rollouts.start(spec)
        self._rollout = self._api.rollouts.wait(self._rollout.id, timeout_s=ROLLOUT_S)
        [execution] = list(self._api.rollouts.executions(self._rollout.id))
        if execution.variant:
            variant = self._api.variants.get(execution.variant)
            self._row.variant, self._row.encoding_bytes = variant.recipe, variant.encoding_bytes
            self._row.notes["variant"] = variant.model_dump(mode="json", exclude={"lineage", "steps"})
        if self._rollout.state != "completed" or execution.phase != "committed":
            told = ": ".join(filter(None, [execution.phase, execution.reason, execution.detail]))
            raise StageFailed(f"the rollout is {self._rollout.state}, the device {told}")

    def _self_test(self) -> None:
        """The device itself says that it passed, in its journal."""
        told = [one for one in Journal(self._place.agent.state).last(50) if one.model == self._model.name]
        if not any((one.before, one.phase) == ("self_test", "trial") for one in told):
            raise StageFailed(f"the journal has {', '.join(f'{one.before} to {one.phase}' for one in told)}")

    def _ask(self, samples: MadeSamples, reference: Reference, card: ModelCard) -> None:
        requests = list(requests_of(samples, reference.ranks, self._model.name))
        client = Triton(self._place.agent.endpoint, self._model.name)
        if (gives := client.outputs()) != reference.outputs:
            raise StageFailed(f"the device gives {', '.join(gives)}, the file {', '.join(reference.outputs)}")
        view = self._api.models.get(self._ref)
        signature = Signature((), tuple(map(_tensor, (one for one in view.outputs if one.name in gives))))
        declared = card.answers.declared(card.labels, signature)
        found, wanted = client.ask(requests), reference.ask(requests)
        self._row.near = nearness(found, wanted, task_named(view.task), signature, declared)
        if self._row.near < LEAST_NEAR:
            raise StageFailed(f"answers are {self._row.near:.3f} near those of the file")

    def _feed_back(self, samples: MadeSamples) -> None:
        """A label for each request by its id; the fleet's telemetry must have them by the task's own measure."""
        labels = labels_in_json(samples)
        if labels is None:
            self._row.cells["feedback"] = NONE
            return
        url = f"{self._place.agent.endpoint}/edgefleet/v1/feedback"
        for place, label in enumerate(labels):
            body = {"model": self._model.name, "id": f"{self._model.name}-{place}", "label": label}
            answer = httpx.post(url, json=body, timeout=30)
            if answer.status_code != 200 or not answer.json()["counted"]:
                raise StageFailed(f"{answer.status_code}: {answer.text}")
        view = wait(self._scored, f"the score of {len(labels)} labels in telemetry", TELEMETRY_S, poll_s=0.5)
        measure, shown = task_named(self._model.task).measure.name, view.measure.name if view.measure else "nothing"
        if shown != measure:
            raise StageFailed(f"telemetry speaks of {shown}, and the task's measure is {measure}")
        self._row.notes["telemetry"] = view.model_dump(mode="json")

    def _scored(self) -> TelemetryView | None:
        found = [view for view in self._api.telemetry.all(model=self._ref) if view.labelled and view.score is not None]
        return found[0] if found else None

    def _roll_back(self, rollout: RolloutView) -> None:
        """The device gives up the model, from its own disk, and no longer answers for it."""
        if rollout.state in ("rolled_back", "rolling_back"):
            self._api.rollouts.wait(rollout.id, timeout_s=ROLLOUT_S)
            raise StageFailed("the gate had rolled it back already")
        self._api.rollouts.roll_back(rollout.id)
        done = self._api.rollouts.wait(rollout.id, timeout_s=ROLLOUT_S)
        if done.state != "rolled_back":
            raise StageFailed(f"the rollout is {done.state}")
        url = f"{self._place.agent.endpoint}/v2/models/{self._model.name}/ready"
        wait(lambda: httpx.get(url, timeout=10).status_code != 200, "the device to give the model up", READY_S)


def _tensor(view: TensorView) -> Tensor:
    return Tensor(view.name, view.datatype, tuple(view.shape), view.batched, view.batch_axis)
