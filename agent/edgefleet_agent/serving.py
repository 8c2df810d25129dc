"""Requests of applications: inference, metadata, readiness and labels. Independent of the transport."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from edgefleet_agent import descriptions, inference_protocol
from edgefleet_agent.answering import Answering
from edgefleet_agent.errors import ModelFailed, OutOfMemory, RequestError, WorkerError
from edgefleet_agent.inference_protocol import InferenceRequest
from edgefleet_agent.inference_statistics import Spent
from edgefleet_agent.placed import NotFinite, Placed
from edgefleet_agent.recent import Key, RecentAnswer
from edgefleet_agent.sequences import ID, Sequences, Turn
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import Unscored, WorkerAnswer
from edgefleet_process.clocks import wall_ms


@dataclass(frozen=True)
class Body:
    """The body of a reply: its bytes, and how many of them are JSON when raw tensors follow."""

    data: bytes
    header_length: int | None = None


@dataclass(frozen=True)
class _Served:
    """One model: what answers, and whether anything of it is committed."""

    answering: Answering
    has_committed: Callable[[], bool]


class Serving:
    """What applications may ask of this device; any thread may call.

    Args:
        recorder: counts every answer.
        status: returns the device's report, as JSON.
    """

    def __init__(self, recorder: Recorder, status: Callable[[], bytes]) -> None:
        self._recorder = recorder
        self._lock = threading.Lock()
        self._models: dict[str, _Served] = {}
        self._sequences = Sequences(time.monotonic)
        self.status = status

    def add(self, model: str, answering: Answering, has_committed: Callable[[], bool]) -> None:
        """Make a model available; what is committed of it must answer, or the device is not ready."""
        with self._lock:
            self._models = self._models | {model: _Served(answering, has_committed)}

    def check_ready(self, model: str | None = None, version: str | None = None) -> None:
        """Check that what is committed answers: of one model, or of every model that has anything committed.

        What is being staged or tried, and what failed, changes nothing.

        Raises:
            RequestError: 503 if it does not, 404 for an unknown model or version.
        """
        if model is not None:
            self.placed(model, version)
            if not self._models[model].has_committed():
                raise RequestError(503, f"model '{model[:100]}' is not ready: its first variant is being tried")
            return
        committed = {name: served for name, served in self._models.items() if served.has_committed()}
        if not committed:
            raise RequestError(503, "not ready: no variant answers yet")
        if silent := sorted(name for name, served in committed.items() if served.answering.live is None):
            raise RequestError(503, f"not ready: {', '.join(silent)} has a committed variant that does not answer")

    def placed(self, model: str, version: str | None = None) -> Placed:
        """What answers for a model.

        Raises:
            RequestError: 503 when no variant answers yet, 404 for an unknown model or version.
        """
        served = self._models.get(model)
        if served is None and self._models:
            raise RequestError(404, f"unknown model '{model[:100]}': the models here are {sorted(self._models)}")
        live = served.answering.live if served else None
        if live is None:
            raise RequestError(503, f"model '{model[:100]}' is not ready: no variant answers yet")
        if version is not None and version != str(live.slot.model_version):
            raise RequestError(404, f"version {version[:20]} does not answer: version {live.slot.model_version} does")
        return live

    def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """The model's metadata; see `descriptions.py`."""
        return descriptions.metadata(model, self.placed(model, version))

    def configuration(self, model: str, version: str | None, body_bytes: int) -> dict[str, Any]:
        """The model's configuration, where a request may have so many bytes; see `descriptions.py`."""
        return descriptions.configuration(model, self.placed(model, version), body_bytes)

    def index(self, only_ready: bool) -> list[dict[str, str]]:
        """The models of this device and whether each is ready, as Triton's repository extension tells it."""
        told = [self._state(name) for name in sorted(self._models)]
        return [one for one in told if one["state"] == "READY" or not only_ready]

    def statistics(self, model: str | None, version: str | None) -> dict[str, Any]:
        """What the requests of a model took, or of every model that answers, since its variant's worker was placed.

        Raises:
            RequestError: as for `placed`.
        """
        if model is not None:
            answering = {model: self.placed(model, version)}
        else:
            answering = {name: live for name, one in self._models.items() if (live := one.answering.live)}
        return {
            "model_stats": [
                {"name": name, "version": str(live.slot.model_version), **live.statistics.shown()}
                for name, live in sorted(answering.items())
            ]
        }

    def _state(self, model: str) -> dict[str, str]:
        live = self._models[model].answering.live
        told = {"name": model} | ({"version": str(live.slot.model_version)} if live else {})
        try:
            self.check_ready(model)
        except RequestError as error:
            return told | {"state": "UNAVAILABLE", "reason": str(error)}
        return told | {"state": "READY", "reason": ""}

    def infer(self, model: str, version: str | None, body: bytes, header_length: int | None) -> Body:
        """Answer an inference request.

        Raises:
            RequestError: the request is invalid (400), names an unknown model (404), belongs to a sequence that has
                ended or to inputs that are no longer taken (409), or cannot be answered (500, 503).
        """
        began_s = time.monotonic()
        live = self.placed(model, version)
        request = inference_protocol.parse(body, header_length, live.worker.signature, live.state_kind is not None)
        if request.step is None:
            return self._answered(model, live, request, began_s, None)
        with self._sequences.turn(model, request.step) as turn:
            return self._answered(model, live, request, began_s, turn)

    def _answered(self, model: str, live: Placed, request: InferenceRequest, began_s: float, turn: Turn | None) -> Body:
        asked_s = time.monotonic()
        answer, placed = self._ask(model, live, request, began_s, turn)
        answered_s = time.monotonic()
        key = _key(model, placed)
        request_id = request.id or uuid4().hex
        sequence = {ID: turn.step.id} if turn else {}
        about = {
            "model_name": model,
            "model_version": str(key.model_version),
            "id": request_id,
            "parameters": {"variant": key.variant, "generation": key.generation, **sequence},
        }
        core = placed.manifest.core
        try:
            data, json_bytes = inference_protocol.reply(answer, request, about, core.labels)
        except RequestError:  # the sequence stays where it was
            placed.statistics.failed(answered_s - began_s)
            raise
        if turn and placed.state_kind:
            turn.took(placed.state_kind, answer.state)
        counted = placed.worker.counted(answer)
        replied_s = time.monotonic()
        self._recorder.answered(key, request_id, replied_s - began_s, counted, placed.scorer)
        waited_s = answer.waited_s
        spent = Spent(asked_s - began_s, waited_s, answered_s - asked_s - waited_s, replied_s - answered_s)
        placed.statistics.answered(spent, request.rows, wall_ms())
        return Body(data, json_bytes)

    def _ask(
        self, model: str, live: Placed, request: InferenceRequest, began_s: float, turn: Turn | None
    ) -> tuple[WorkerAnswer, Placed]:
        try:
            return self._models[model].answering.ask(request.tensors, request.data, turn)
        except RequestError:
            live.statistics.failed(time.monotonic() - began_s)
            raise
        except WorkerError as error:
            live.statistics.failed(time.monotonic() - began_s)
            self._recorder.failed(_key(model, live), isinstance(error, NotFinite))
            status = 500 if isinstance(error, ModelFailed | NotFinite | OutOfMemory) else 503
            raise RequestError(status, f"model '{model}' did not answer: {error}") from error

    def feedback(self, given: Any) -> dict[str, Any]:
        """Count the true labels of an earlier request: {"model", "id", "label" or "labels"}.

        Raises:
            RequestError: 404 for an unknown model or id, 503 if none answers yet, 400 for anything else.
        """
        if not isinstance(given, dict):
            raise RequestError(400, "feedback must be an object with model, id, and label or labels")
        if unknown := sorted(given.keys() - {"model", "id", "label", "labels"}):
            raise RequestError(400, f"feedback has no field '{unknown[0][:100]}': model, id, and label or labels")
        if "label" in given and "labels" in given:
            raise RequestError(400, "feedback takes label or labels, not both")
        model, request_id = given.get("model"), given.get("id")
        labels = given["labels"] if "labels" in given else [given.get("label")]
        if not isinstance(model, str) or not isinstance(request_id, str):
            raise RequestError(400, "feedback needs 'model' and 'id' as strings")
        if not isinstance(labels, list) or any(label is None for label in labels):
            raise RequestError(400, "feedback needs 'label', what is true of the answer, or 'labels', a list of them")
        recent = self._recorder.find(model, request_id)
        if recent is None:
            self.placed(model)
            raise RequestError(404, f"no recent answer of model '{model[:100]}' has the id '{request_id[:100]}'")
        return {"counted": not recent.labelled and self._scored(recent, request_id, labels)}

    def _scored(self, recent: RecentAnswer, request_id: str, labels: list[Any]) -> bool:
        """Score an answer by whatever worker answers for its model now; whether it counts for the first time."""
        if not recent.answers:
            raise RequestError(400, "this answer is not kept: it is not of the model's task, or too many came since")
        try:
            self.placed(recent.scope.key.model)
            answering = self._models[recent.scope.key.model].answering
            scores = answering.score(recent.scope.scorer, recent.answers, labels)
        except WorkerError as error:
            raise RequestError(503, f"the label cannot be scored now: {error}") from error
        if isinstance(scores, Unscored):
            self._recorder.refused(recent, scores.bad)
            raise RequestError(400, scores.sentence)
        return self._recorder.scored(recent, request_id, scores)


def _key(model: str, placed: Placed) -> Key:
    slot = placed.slot
    return Key(model, slot.model_version, slot.variant, slot.generation)
