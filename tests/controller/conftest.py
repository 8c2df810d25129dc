"""Records with sane defaults, so that a test shows only what it is about."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reports import report_with

from edgefleet_contract.metrics import Metrics
from edgefleet_contract.rollouts import ExecutionRecord, Gate, RolloutSpec, Timers, WaveRecord
from edgefleet_controller.records import RolloutRecord, VariantRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.sqlite import open_store
from edgefleet_protocol.messages import ReportedState


@pytest.fixture(scope="session")
def new_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a new store: to copy them is much quicker than to migrate them again."""
    folder = tmp_path_factory.mktemp("new")
    open_store(folder).close()
    return folder


@pytest.fixture
def store(tmp_path: Path, new_files: Path) -> Iterator[Store]:
    opened = open_store(shutil.copytree(new_files, tmp_path / "state"))
    yield opened
    opened.close()


@pytest.fixture
def execution() -> Callable[..., ExecutionRecord]:
    def make(device: str = "a", phase: str = "assigned", **fields: Any) -> ExecutionRecord:
        given = {
            "rollout": "01",
            "device": device,
            "wave": 1,
            "profile": "eu/rpi4/lte",
            "variant": "b" * 64,
            "manifest": "c" * 64,
            "manifest_bytes": 100,
            "phase": phase,
            "changed_ms": 0,
        }
        return ExecutionRecord.model_validate({**given, **fields})

    return make


@pytest.fixture
def rollout() -> Callable[..., RolloutRecord]:
    def make(
        *states: str, gate: Gate | None = None, timers: Timers | None = None, concurrency: int = 10, **fields: Any
    ) -> RolloutRecord:
        spec = RolloutSpec(
            model="fashion",
            version=1,
            gate=gate or Gate(soak_s=10),
            timers=timers or Timers(),
            concurrency=concurrency,
            **fields,
        )
        waves = tuple(
            WaveRecord.model_validate({"number": n, "state": s, "since_ms": 0, "started_ms": 0})
            for n, s in enumerate(states, start=1)
        )
        return RolloutRecord(id="01", spec=spec, state="running", waves=waves, created_ms=0, changed_ms=0)

    return make


@pytest.fixture(scope="session")
def reported() -> Callable[..., ReportedState]:
    return report_with


@pytest.fixture(scope="session")
def variant() -> Callable[..., VariantRecord]:
    def make(**fields: Any) -> VariantRecord:
        given = {
            "id": "b" * 64,
            "model": "fashion",
            "version": 1,
            "recipe": "fp32",
            "title": "as it is",
            "instruction_sets": (),
            "manifest": "c" * 64,
            "manifest_bytes": 10,
            "delivery_bytes": {},
            "metrics": Metrics(),
            "runtime": {},
            "steps": (),
            "created_ms": 0,
        }
        return VariantRecord.model_validate({**given, **fields})

    return make
