"""Models that do not load, lie, crash, hang or eat memory: each ends with its reason, and no client notices."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.clients import Client
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.hostile import HOSTILE, Hostile, publish_all, version_of
from typer.testing import CliRunner

from edgefleet_operator.cli import app

pytestmark = pytest.mark.fleet

MOST_GROWTH_KB = 60_000
LONG_TRIAL_S = 20.0
"""What fails live fails at its first request; a trial that nobody asks anything in is held."""


class Lab:
    """One device that answers with fashion@1, two applications that ask it all the time, and what comes to it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.agent = fleet.add_agent("a", PROFILE)
        first = fleet.roll_out()
        fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "fashion@1", 60)
        told = fleet.device("a")
        assert told
        self.old = told["models"]["fashion"]["answering"]["variant"]
        data = np.load(Path(__file__).parents[2] / "examples" / "fashion" / "data.npz")
        images = (data["x_test"][0], np.zeros((28, 28)))
        self.clients = [Client(told["endpoint"], image) for image in images]
        self.pid = self.agent.pid
        self.most_kb = self.peak_kb()

    def peak_kb(self) -> int:
        """The most memory that the agent's supervisor ever had."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def lab(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A fleet whose controller was given every hostile model."""
    folder = tmp_path_factory.mktemp("hostile")
    state = shutil.copytree(built, folder / "built", ignore=shutil.ignore_patterns("broker", "cache", "work"))
    publish_all(state, folder)
    with running_fleet(state, folder) as fleet:
        lab = Lab(fleet)
        try:
            yield lab
        finally:
            for client in lab.clients:
                client.end()


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name.replace(" ", "-"))
def test_a_hostile_model_ends_with_its_reason_and_no_client_notices(lab: Lab, hostile: Hostile) -> None:
    fleet = lab.fleet
    before = [len(client.answers) for client in lab.clients]
    rollout = fleet.roll_out(version=version_of(hostile), timers={"trial_s": LONG_TRIAL_S, "silent_s": 60})
    fleet.wait(
        lambda: fleet.rollout(rollout)["state"] in ("rolled_back", "completed"), f"the verdict on {hostile.name}", 90
    )
    assert fleet.rollout(rollout)["state"] == "rolled_back"
    execution = fleet.executions(rollout)["a"]
    assert (execution["phase"], execution["reason"]) == (hostile.phase, hostile.reason), execution["detail"]
    assert hostile.reason in fleet.rollout(rollout)["reason"]
    told = {"EDGEFLEET_API": fleet.api.url, "COLUMNS": "240"}
    shown = CliRunner().invoke(app, ["rollout", "show", rollout, "--devices"], env=told)
    assert f"{hostile.phase}" in shown.stdout and f"{hostile.reason}: " in shown.stdout

    answering = fleet.device("a")["models"]["fashion"]["answering"]
    assert answering["variant"] == lab.old
    ended = [len(client.answers) for client in lab.clients]
    fleet.wait(lambda: all(len(c.answers) > e + 2 for c, e in zip(lab.clients, ended, strict=True)), "answers after it")
    for client, asked in zip(lab.clients, before, strict=True):
        answers = client.answers[asked:]
        assert {status for status, _ in answers} == {200}
        assert answers[-1][1] == lab.old
        in_trial = {execution["variant"]} if "trial" in lab.agent.phases(execution["generation"]) else set()
        assert {variant for _, variant in answers} <= {lab.old} | in_trial
    assert lab.agent.running and lab.agent.pid == lab.pid
    assert lab.peak_kb() < lab.most_kb + MOST_GROWTH_KB


def test_every_hostile_model_that_can_prove_itself_only_live_got_as_far_as_its_trial(lab: Lab) -> None:
    tried = {entry["variant"] for entry in lab.agent.journal if entry["phase"] == "trial"}
    live = [hostile for hostile in HOSTILE if hostile.phase == "failed_rolled_back"]
    assert len(tried) == 1 + len(live), "fashion@1, and those"


def test_after_all_of_them_a_sound_version_is_taken(lab: Lab) -> None:
    fleet, began = lab.fleet, time.monotonic()
    second = fleet.roll_out(version=2)
    fleet.wait(lambda: fleet.rollout(second)["state"] == "completed", "fashion@2", 60)
    assert fleet.executions(second)["a"]["phase"] == "committed"
    assert time.monotonic() - began < 60
    for client in lab.clients:
        assert {status for status, _ in client.answers} == {200}
