"""A real fleet whose model gets worse once its rollout has completed."""

from pathlib import Path

import numpy as np
import pytest
from tests.fleet.asking import PROFILE, ask, tell

pytestmark = pytest.mark.fleet
LABELS = 20


def test_a_model_that_gets_worse_after_its_rollout_has_completed_raises_an_alert(fleet) -> None:
    fleet.add_agent("a", PROFILE)
    data = np.load(Path(__file__).parents[2] / "examples" / "fashion" / "data.npz")
    asked = iter(range(10_000))
    gate = {"soak_s": 0.5, "min_labels": LABELS, "min_devices": 1}

    def answers(*, right: bool) -> None:
        """An application that asks and labels; wrong, as if what is before the camera had changed."""
        endpoint = fleet.device("a")["endpoint"]
        for _ in range(LABELS):
            number = next(asked)
            assert ask(endpoint, data["x_test"][number], f"n{number}")[0] == 200
            label = int(data["y_test"][number])
            assert tell(endpoint, f"n{number}", label if right else (label + 1) % 10) == 200

    def completes(rollout: str) -> None:
        fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 90)

    def labelled() -> int:
        return sum(group["labelled"] for group in fleet.api.get("/telemetry")["items"])

    completes(fleet.roll_out(gate=gate))
    answers(right=True)
    fleet.wait(lambda: labelled() == LABELS, "the labels of what ran before")
    rollout = fleet.roll_out(version=2, gate=gate)
    completes(rollout)
    answers(right=True)
    assert fleet.api.get("/alerts")["items"] == []
    answers(right=False)
    answers(right=False)
    (alert,) = fleet.wait(lambda: fleet.api.get("/alerts", state="open")["items"], "the alert", 60)
    assert (alert["rollout"], alert["check"], alert["profile"]) == (rollout, "accuracy", PROFILE)
    assert fleet.rollout(rollout)["alerts"] == [alert]
    assert fleet.rollout(rollout)["state"] == "completed", "it owns no device, and nothing is done without an operator"
    fleet.api.post(f"/rollouts/{rollout}/rollback", {})
    fleet.wait(lambda: fleet.api.get("/alerts", state="ended")["items"], "the end of the alert", 60)
    assert fleet.api.get("/alerts", state="open")["items"] == []
