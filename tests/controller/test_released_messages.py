"""What an agent of the last release says, said to today's controller, through a whole rollout or to its deferral."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cards import card
from tests.controller.asking import aggregated
from tests.released import last_release

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord, Gate, RolloutSpec
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.delivery.delivery import Delivery
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.fleet.wants import AllowedWants
from edgefleet_controller.records import ChoiceRecord, ModelRecord, RolloutRecord, VariantRecord
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.rollouts.joiners import LateJoiners
from edgefleet_controller.rollouts.launch import start_rollout
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import parse_frame
from edgefleet_protocol.manifest import BlobRef, Core
from edgefleet_protocol.moments import Moments
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState, StatePair

RELEASE = last_release()
MANIFEST = "c" * 64
MODEL = "fashion"
WAY = ("notified", "downloading", "verified", "staged")
SWITCH = ("self_test", "trial", "committed")


class Heard:
    """The broker's side: what devices were told by topic, and the chunks that were broadcast."""

    connected = True

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Any]] = {}
        self.chunks: dict[int, bytes] = {}
        self.channels: set[str] = set()

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.told[topic] = json.loads(data)

    def publish_chunk(self, topic: str, data: bytes, stop: threading.Event) -> bool:
        got = parse_frame(data)
        index, content = got.index, got.data
        self.chunks[index] = content
        self.channels.add(topic)
        return True


class OldDevice:
    """A device that speaks in the released messages, with other values where a rollout asks for them."""

    def __init__(self, ingest: Ingest) -> None:
        self.id, self._ingest = "old", ingest
        self.report = json.loads(RELEASE.message("ReportedState"))

    def says(self, kind: topics.UpKind, message: dict[str, Any]) -> None:
        self._ingest.offer(topics.up(self.id, kind), json.dumps(message).encode())

    def reports(self, phase: str | None = None, told: dict[str, Any] | None = None) -> None:
        """Its next snapshot: of the attempt at what it was told, or as it was before."""
        self.report["report"] += 1
        if told:
            attempt = self.report["models"][MODEL]["attempt"]
            self.report["models"][MODEL]["generation"] = told["generation"]
            attempt |= {name: told[name] for name in ("generation", "rollout", "manifest")} | {"phase": phase}
            attempt.pop("reason", None)
            attempt.pop("detail", None)
        self.says("reported", self.report)


class Today:
    """The parts of today's controller that a device speaks with, without a broker between."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = new_store()
        self.catalogue, self.heard, self.blobs = load_catalogue(), Heard(), BlobFolder(folder)
        publisher = DesiredPublisher(self.store, self.heard)
        self.delivery = Delivery(self.store.fleet.registry, self.blobs, self.catalogue.link, self.heard)
        self.ingest = Ingest(
            self.store, publisher, self.delivery.want, allows=AllowedWants(self.store.fleet, self.blobs).allows
        )
        joiners = LateJoiners(self.store.fleet, self.catalogue)
        self.conductor = Conductor(self.store, publisher.desire, joiners, tick_s=60)
        self.device = OldDevice(self.ingest)

    def start(self, variant: VariantRecord) -> RolloutRecord:
        """Start a rollout of a variant to the device."""
        self.store.fleet.registry.put_model(ModelRecord(name=MODEL, version=1, files={}, card=card(), created_ms=0))
        choice = ChoiceRecord(model=MODEL, version=1, profile="eu/rpi4/lte", variant=variant.id, reasons={})
        self.store.fleet.registry.put_variants([variant], [choice])
        gate = Gate(soak_s=0, failure_threshold=0.0, success_threshold=1.0)
        return start_rollout(
            self.store.fleet, self.catalogue, RolloutSpec(model=MODEL, version=1, waves=(1.0,), gate=gate)
        )

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.conductor.tick(now_ms())

    @property
    def told(self) -> dict[str, Any] | None:
        """What the device was told of the model."""
        desired = self.heard.told.get(topics.desired(self.device.id))
        return desired["models"].get(MODEL) if desired else None

    def execution(self, rollout: RolloutRecord) -> ExecutionRecord:
        (found,) = self.store.fleet.rollouts.executions(rollout.id)
        return found


@pytest.fixture
def today(tmp_path: Path) -> Iterator[Today]:
    """A controller whose fleet is one device of the last release, which has reported."""
    controller = Today(tmp_path / "blobs")
    controller.store.fleet.devices.admit(AdmissionRecord(device=controller.device.id, accepted_ms=0))
    controller.ingest.start()
    controller.delivery.start()
    controller.device.reports()
    settle(lambda: controller.store.fleet.devices.find(controller.device.id))
    yield controller
    assert controller.ingest.counts["set_aside"] == 0, controller.ingest.set_aside
    controller.delivery.stop()
    controller.ingest.stop()


def settle(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def test_a_variant_that_needs_nothing_new_is_told_and_its_way_is_recorded(today: Today, variant) -> None:
    rollout = today.start(variant(manifest=MANIFEST))
    today.tick()
    told = today.told
    assert told and (told["manifest"], told["generation"], told["activate"]) == (MANIFEST, 6, False)
    recorded = []
    for phase in (*WAY, *SWITCH):
        today.device.reports(phase, told)
        settle(lambda phase=phase: today.execution(rollout).phase == phase)
        recorded.append(today.execution(rollout).phase)
        if phase == WAY[-1]:
            today.tick(2)
            assert today.told == {**told, "activate": True}
    assert tuple(recorded) == WAY + SWITCH
    transfer = today.device.report["models"][MODEL]["attempt"]["transfer"]
    ended = today.execution(rollout)
    assert (ended.transfer_s, ended.transfer_bytes) == (transfer["seconds"], transfer["bytes_done"])
    assert ended.transfer_total_bytes == transfer["bytes_total"]
    assert ended.previous_manifest == today.device.report["models"][MODEL]["committed"]["manifest"]
    today.tick(4)
    assert today.store.fleet.rollouts.get(rollout.id).state == "completed"


def test_a_variant_that_needs_a_newer_feature_is_deferred_and_the_device_told_nothing(today: Today, variant) -> None:
    rollout = today.start(variant(manifest=MANIFEST, needs=("pairs", "tasks")))
    today.tick(4)
    deferred = today.execution(rollout)
    assert (deferred.phase, deferred.generation) == ("deferred", None)
    assert deferred.detail == "its agent lacks pairs, tasks, which the variant needs: upgrade the agent"
    today.device.reports()
    known = today.device.report["report"]
    settle(lambda: today.store.fleet.devices.get(today.device.id).reported.report == known)
    assert today.told is None


@pytest.mark.parametrize(("has", "phase"), [("1.22.1", "deferred"), ("1.23.0", "assigned")])
def test_a_variant_that_needs_a_newer_onnxruntime_passes_over_who_lacks_it(
    today: Today, variant, has: str, phase: str
) -> None:
    today.device.report["facts"]["onnxruntime"] = has
    today.device.reports()
    known = today.device.report["report"]
    settle(lambda: today.store.fleet.devices.get(today.device.id).reported.report == known)
    rollout = today.start(variant(manifest=MANIFEST, needs=("onnxruntime-1.23",)))
    today.tick(2)
    found = today.execution(rollout)
    assert found.phase == phase
    assert found.detail == (
        "its agent lacks onnxruntime-1.23, which the variant needs: upgrade the agent" if phase == "deferred" else None
    )


def test_a_variant_with_reduced_answers_is_told_in_the_released_form(today: Today, variant) -> None:
    older = {"older_manifest": "e" * 64, "older_manifest_bytes": 20}
    rollout = today.start(variant(manifest=MANIFEST, needs=("reduced-answers",), **older))
    today.tick()
    assert today.told and (today.told["manifest"], today.told["manifest_bytes"]) == ("e" * 64, 20)
    today.device.reports("staged", today.told)
    settle(lambda: today.execution(rollout).phase == "staged")
    today.tick(2)
    assert today.told["activate"] is True
    today.device.reports("committed", today.told)
    settle(lambda: today.execution(rollout).phase == "committed")


def test_a_variant_that_has_no_released_form_is_deferred_with_the_reason(today: Today, variant) -> None:
    rollout = today.start(variant(manifest=MANIFEST, needs=("reduced-answers",)))
    today.tick(4)
    detail = "its agent lacks reduced-answers, which the variant needs: upgrade the agent"
    assert (today.execution(rollout).phase, today.execution(rollout).detail) == ("deferred", detail)
    assert today.told is None


def test_a_model_with_state_is_deferred_and_nothing_of_it_told(today: Today, variant) -> None:
    h = Tensor("h", "FP32", (2, 1, 64), batched=False)
    signature = Signature((Tensor("x", "FP32", (1, 576)), h), (Tensor("y", "FP32", (1, 1)), replace(h, name="hn")))
    state = SequenceState((StatePair("h", "hn"),))
    core = Core(onnx=BlobRef(sha256="a" * 64, size_bytes=4), signature=signature, state=state)
    rollout = today.start(variant(manifest=MANIFEST, needs=core.needs))
    today.tick(4)
    detail = "its agent lacks state, tensors, which the variant needs: upgrade the agent"
    assert (today.execution(rollout).phase, today.execution(rollout).detail) == ("deferred", detail)
    assert today.told is None


def test_its_telemetry_is_stored_and_acknowledged(today: Today) -> None:
    window = json.loads(RELEASE.message("TelemetryWindow"))
    window["first_kept_seq"] = window["seq"]
    today.device.says("telemetry", window)
    acked = topics.acked(today.device.id)
    settle(lambda: acked in today.heard.told)
    assert today.heard.told[acked]["through"] == window["seq"]
    (sums,) = aggregated(today.store.telemetry, ("device",))
    serving = sums.counters.serving
    assert (serving.requests, serving.errors, serving.not_finite) == (5, 1, 1)
    assert sums.counters.scored == Moments.of_hits(3, 2)
    assert sums.counters.categories == window["predicted"]


def test_what_it_was_told_of_and_wants_is_sent_on_its_channel(today: Today, variant) -> None:
    want = json.loads(RELEASE.message("ChunkRequest"))
    content = bytes(range(256)) * (want["chunk_bytes"] * want["chunks"] // 256)
    want["blob"] = today.blobs.put(content)
    today.store.fleet.registry.put_blob(want["blob"], len(content), deliverable=True)
    today.start(variant(manifest=want["blob"]))
    today.tick()
    today.device.says("want", want)
    settle(lambda: len(today.heard.chunks) == want["chunks"])
    assert b"".join(today.heard.chunks[index] for index in range(want["chunks"])) == content
    assert today.heard.channels == {topics.blob(want["blob"], want["lane"])}
