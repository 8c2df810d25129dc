"""The command line against a real service with a real broker."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.reports import report_with
from tests.service import api_of, hold_example, running_service
from typer.testing import CliRunner, Result

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.operations import OperationRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_controller.serve import announce
from edgefleet_controller.service import Service
from edgefleet_operator.cli import app
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.manifest import BlobRef, Core, Manifest
from edgefleet_protocol.messages import Facts, ReportedModel, ReportedState, Slot

PROFILE = "eu/rpi4/lte"


class Operator:
    """Someone who types commands; `url` is where their controller answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def types(self, *words: str, code: int = 0, columns: int | None = None) -> Result:
        """Run a command, and see that it ends with this exit code."""
        columns_as_text = None if columns is None else str(columns)
        done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": self.url, "COLUMNS": columns_as_text})
        assert done.exit_code == code, f"{words} ended with {done.exit_code}:\n{done.output}\n{done.exception!r}"
        return done

    def reads(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json; what it says."""
        return json.loads(self.types(*words, "--json", code=code).stdout)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path / "state") as running:
        yield running


@pytest.fixture
def connected(service: Service) -> Service:
    """The service, once its broker answers."""
    until = time.monotonic() + 30
    while not service.bus.connected:
        assert time.monotonic() < until, "it did not reach its broker"
        time.sleep(0.01)
    return service


@pytest.fixture
def operator(service: Service) -> Iterator[Operator]:
    with api_of(service) as address:
        announce(service.settings.state, address, service.access.local_url)
        yield Operator(address)


@pytest.fixture
def published(service: Service) -> str:
    """fashion@1 with two variants, of which `fp32` is chosen for eu/rpi4/lte."""
    hold_example(service)
    core = Core(onnx=BlobRef(sha256="a" * 64, size_bytes=100))
    manifest = Manifest(model="fashion", model_version=1, recipe="fp32", core=core, encodings=()).to_bytes()
    service.blobs.put_named(digest(manifest), manifest)
    common = {
        **{"model": "fashion", "version": 1, "instruction_sets": ()},
        **{"manifest": digest(manifest), "manifest_bytes": len(manifest)},
        **{"delivery_bytes": {49152: 123_456, 4096: 130_000}, "runtime": {}, "created_ms": 1},
    }
    figures = {"p95_ms": 0.4321, "latency_ratio": 0.48, "measured_on": "a test"}
    metrics = {"score_val": 0.905, "score_test": 0.912, "score_test_ci": (0.9, 0.92), **figures}
    step = {"step": "export", "config": {"opset": 18}, "cached": True, "seconds": 0.0, "log": {}}
    golden = {"samples": 12, "wanted": 32, "held": 2000, "size_bytes": 16_000, "budget_bytes": 16_384}
    variants = [
        VariantRecord(id="b" * 64, recipe="fp32", title="as it is", metrics=metrics, steps=[step], **common),
        VariantRecord(id="d" * 64, recipe="ternary", title="tiny", metrics={}, steps=[], golden=golden, **common),
    ]
    reasons = {"b" * 64: "the most accurate", "d" * 64: "not measured"}
    choice = ChoiceRecord(model="fashion", version=1, profile=PROFILE, variant="b" * 64, reasons=reasons)
    service.store.fleet.registry.put_variants(variants, [choice])
    return "fashion@1"


@pytest.fixture
def reported() -> Callable[..., ReportedState]:
    return report_with


@pytest.fixture
def join(service: Service, reported) -> Callable[..., None]:
    """Let simulated devices join; `runs` is the variant that answers there."""

    def joined(
        *devices: str,
        region: str = "eu",
        runs: str | None = None,
        admitted: bool = True,
        measured_kbps: float | None = None,
    ) -> None:
        facts = Facts(hardware="rpi4", region=region, link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
        slot = runs and Slot(variant=runs, manifest="c" * 64, model_version=1, generation=1)
        models = {"fashion": ReportedModel(generation=1, answering=slot, slots=(slot,))} if slot else {}
        for device in devices:
            if admitted:
                service.store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))
            service.store.fleet.devices.put_report(
                device, reported(facts=facts, models=models, measured_kbps=measured_kbps), 1
            )

    return joined


@pytest.fixture
def commits(service: Service) -> Callable[[str], None]:
    """Let all devices of a rollout switch, as if they had reported so."""

    def committed(rollout: str) -> None:
        told = {"phase": "committed", "directive": "activate", "generation": 1, "directed_ms": now_ms()}
        with service.store.fleet.transaction():
            found = service.store.fleet.rollouts.executions(rollout)
            service.store.fleet.rollouts.put_executions([e.model_copy(update=told) for e in found])

    return committed


@dataclass
class FakeBuilder:
    """Answers every build with one operation, at once."""

    operation: OperationRecord

    def submit(self, *_: object) -> OperationRecord:
        return self.operation


@pytest.fixture
def builds(service) -> Iterator[Callable[[OperationRecord], None]]:
    """Let every build be this operation."""
    real = service.operations

    def be(shown: OperationRecord) -> None:
        service.store.fleet.operations.put(shown)
        service.operations = FakeBuilder(shown)

    yield be
    service.operations = real
