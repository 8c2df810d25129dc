"""The agent of an aarch64 bundle, an ARM process under emulation, goes through a whole rollout."""

from pathlib import Path

import numpy as np
import pytest
from tests.environments import bundle_installed
from tests.fleet.asking import ask, tell
from tests.fleet.conftest import EXAMPLE, Fleet, Process
from tests.fleet.emulated import CPU, arm_python
from tests.once import once

pytestmark = [pytest.mark.fleet, pytest.mark.slow, pytest.mark.timeout(1800)]

ONNXRUNTIME = "1.23.2"
"""1.31 ends with SIGSEGV at its import under qemu 7.2, on any CPU."""
PROFILE = "eu/generic-arm-neon/ethernet"
SAMPLES = 20


@pytest.fixture(scope="session")
def device_python(tmp_path_factory: pytest.TempPathFactory, worker_id: str, request: pytest.FixtureRequest) -> Path:
    """The Python of an ARM environment, into which a bundle was installed as its instruction says."""
    system = arm_python(tmp_path_factory, worker_id)
    assert request.getfixturevalue("wheel"), "scripts/build has its environment: two that make it at once would meet"

    def make(folder: Path) -> None:
        version = system.name.removeprefix("python")
        bundle_installed(folder, system, "aarch64", "--python", version, f"onnxruntime=={ONNXRUNTIME}")

    return once(tmp_path_factory, worker_id, "arm-install", make) / "venv" / "bin" / "python"


def test_the_agent_of_a_bundle_goes_through_a_whole_rollout_as_an_arm_process(
    device_python: Path, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.build(EXAMPLE, [PROFILE], ["w8"])
    region, _, link = PROFILE.split("/")
    agent = Process(
        tmp_path / "board.log",
        *("edgefleet_agent", "run", "--state", str(tmp_path / "board"), "--device", "board"),
        *("--broker", fleet.broker, "--region", region, "--link", link, "--heartbeat", "1", "--window", "1"),
        *("--http", "127.0.0.1:0"),
        python=str(device_python),
    )
    agent.start()
    try:
        facts = fleet.wait(lambda: fleet.device("board"), "the ARM device to report", 120)["facts"]
        assert (facts["arch"], facts["simulated"], facts["onnxruntime"]) == ("aarch64", False, ONNXRUNTIME)
        assert facts["hardware"] == "generic-arm-neon", f"{CPU} has no dot product"
        rollout = fleet.roll_out()
        fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 300)
        assert fleet.executions(rollout)["board"]["phase"] == "committed"
        endpoint = fleet.device("board")["endpoint"]
        data = np.load(EXAMPLE / "data.npz")
        for number in range(SAMPLES):
            assert ask(endpoint, data["x_test"][number], f"n{number}")[0] == 200
            assert tell(endpoint, f"n{number}", int(data["y_test"][number])) == 200

        def told() -> dict | None:
            found = fleet.api.get("/telemetry", device="board")["items"]
            return found[0] if found and found[0]["labelled"] == SAMPLES else None

        counted = fleet.wait(told, "the labelled answers of the ARM device", 60)
        assert counted["correct"] >= SAMPLES * 0.8
    except AssertionError as error:
        raise AssertionError(f"{error}\n--- board:\n{agent.log()[-4000:]}") from None
    finally:
        agent.stop()
