"""The agent of the last release, built from its commit, works with today's controller."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.environments import PIP, environment_with
from tests.fleet.asking import PROFILE, ask, tell
from tests.released import Release, last_release

pytestmark = [pytest.mark.fleet, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def released() -> Release:
    """What `released.toml` says."""
    return last_release()


@pytest.fixture(scope="module")
def released_python(released: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the last release's wheel; everything else is what these tests run with."""
    folder = tmp_path_factory.mktemp("released")
    source, wheels = folder / "source", folder / "wheels"
    source.mkdir()
    archive = subprocess.run(["git", "archive", released.commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        missing = f"commit {released.commit} of released.toml is not in this clone: git fetch --unshallow"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    subprocess.run(["tar", "-x", "-C", source], input=archive.stdout, check=True)
    subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, source], check=True, timeout=220)
    (wheel,) = wheels.glob("*.whl")
    environment = folder / "venv"
    python = environment_with(wheel, environment) / "python"
    found = subprocess.run(
        [python, "-c", "import edgefleet_agent; print(edgefleet_agent.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    ).stdout.strip()
    assert found.startswith(str(environment)), f"the released agent's code must come from its wheel, not from {found}"
    return python


def test_the_released_agent_goes_through_whole_rollouts_and_reports(fleet, released, released_python: Path) -> None:
    agent = fleet.add_agent("old", PROFILE, python=str(released_python))
    assert fleet.device("old")["agent_version"] == released.version
    first = fleet.roll_out()
    fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "the first rollout", 90)
    assert fleet.executions(first)["old"]["phase"] == "committed"
    endpoint = fleet.device("old")["endpoint"]
    data = np.load(ROOT / "examples" / "fashion" / "data.npz")
    for number in range(20):
        assert ask(endpoint, data["x_test"][number], f"n{number}")[0] == 200
        assert tell(endpoint, f"n{number}", int(data["y_test"][number])) == 200

    def counted() -> bool:
        found = fleet.api.get("/telemetry", device="old")["items"]
        return bool(found) and (found[0]["requests"], found[0]["labelled"]) == (20, 20)

    fleet.wait(counted, "twenty labelled answers of the released agent", 60)
    second = fleet.roll_out(version=2)
    fleet.wait(lambda: fleet.rollout(second)["state"] == "completed", "the second rollout", 90)
    fleet.api.post(f"/rollouts/{second}/rollback", {})
    fleet.wait(lambda: fleet.rollout(second)["state"] == "rolled_back", "the way back", 90)
    assert fleet.device("old")["models"]["fashion"]["answering"]["model_version"] == 1
    assert [e["phase"] for e in agent.journal if e["generation"] == 1][-1] == "committed"
