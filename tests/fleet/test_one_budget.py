"""Two models share a device's memory; a third that does not fit is held back, or refused there, and nobody notices."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.publishing import model_of, press_in
from typer.testing import CliRunner

from edgefleet_operator.cli import app

pytestmark = pytest.mark.fleet

BUDGET_MB = 320
NEAR_MB, FAR_MB = 10.0, 150.0
UNMEASURED_BYTES = 40_000_000


@pytest.fixture
def fleet(built: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A controller with models of which two fit, one is too large as measured, and one was not measured."""
    state = shutil.copytree(built, tmp_path / "built", ignore=shutil.ignore_patterns("broker", "cache", "work"))
    with press_in(state, tmp_path) as press:
        press.publish(3, model_of(), memory_mb=NEAR_MB)
        press.publish(1, model_of(), name="near", memory_mb=NEAR_MB, changes={"min_onnxruntime": "1.19"})
        press.publish(1, model_of(), name="far", memory_mb=FAR_MB, changes={"min_onnxruntime": "1.18"})
        large = model_of(padding_bytes=UNMEASURED_BYTES)
        press.publish(1, large, name="unmeasured", memory_mb=None)
    with running_fleet(state, tmp_path) as running:
        yield running


def roll_out(fleet: Fleet, version: int, model: str, state: str = "completed") -> str:
    rollout = fleet.roll_out(version=version, model=model)
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == state, f"{model}@{version}", 60)
    return rollout


def shown(fleet: Fleet, model: str) -> str:
    environment = {"EDGEFLEET_API": fleet.api.url, "COLUMNS": "400"}
    return " ".join(CliRunner().invoke(app, ["rollout", "plan", model, "--all"], env=environment).stdout.split())


def planned(fleet: Fleet, model: str) -> dict[str, Any]:
    return dict(fleet.api.post("/rollouts/plan", {"model": model, "version": 1, "everyone": True}))


def test_two_models_fit_and_a_third_that_does_not_harms_nobody(fleet: Fleet) -> None:
    agent = fleet.add_agent("a", PROFILE, "--memory", str(BUDGET_MB))
    roll_out(fleet, 3, "fashion")
    (near,) = planned(fleet, "near")["waves"][0]
    assert near["holds_model"] and near["fetches_bytes"] < 5000, "the file is in the other model's slot"
    assert "has its file, fetches the rest, switches" in shown(fleet, "near@1")
    roll_out(fleet, 1, "near")
    device = fleet.device("a")
    assert device and device["facts"]["memory"] == {"budget_mb": BUDGET_MB, "agent_mb": 48, "worker_mb": 76}
    transfer = device["models"]["near"]["attempt"]["transfer"]
    assert transfer["bytes_done"] == near["fetches_bytes"]

    # Measured: the plan says so, and a start tells the device nothing.
    figures = "far@1 226 MB, fashion@3 86 MB, near@1 86 MB and the agent 48 MB are 446 MB, and the budget is 320 MB"
    (far,) = planned(fleet, "far")["waves"][0]
    assert far["phase"] == "deferred" and figures in far["detail"]
    assert figures in shown(fleet, "far@1")
    held_back = roll_out(fleet, 1, "far", "cancelled")
    assert figures in fleet.rollout(held_back)["reason"]
    assert "far" not in fleet.device("a")["models"]

    # Not measured: the plan says that, and the device refuses it by its size before it is downloaded.
    told = planned(fleet, "unmeasured")
    assert told["waves"][0][0]["phase"] == "assigned"
    why = "the memory of unmeasured@1 was not measured, and counted as nothing"
    assert told["room_unknown"] == [{"why": why, "devices": 1}]
    assert f"not known of 1 device whether it fits into memory: {why}" in shown(fleet, "unmeasured@1")
    refused = roll_out(fleet, 1, "unmeasured", "rolled_back")
    execution = fleet.executions(refused)["a"]
    assert (execution["phase"], execution["reason"]) == ("rejected", "out_of_memory")
    assert "fashion@3 86 MB, near@1 86 MB" in execution["detail"] and "budget is 320 MB" in execution["detail"]
    assert fleet.device("a")["models"]["unmeasured"]["attempt"]["transfer"]["bytes_done"] < 5000

    # The others never noticed.
    assert agent.running and agent.log().count("is started again") == 0
    status, answer = ask(fleet.device("a")["endpoint"], np.zeros((1, 28, 28)))
    assert (status, answer["model_version"]) == (200, "3")
