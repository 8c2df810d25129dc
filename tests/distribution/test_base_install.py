"""A base install is the agent alone, comes from a bundle without a network, and runs."""

import json
import platform
import subprocess
import sys
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from distribution.target import ARCHITECTURES
from tests.environments import bare_environment, bundle_installed
from tests.once import once

from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.topics import up

pytestmark = pytest.mark.slow

CONTROLLER_ONLY = {"torch", "torchao", "onnx", "fastapi", "uvicorn", "sqlite-utils", "typer", "rich", "httpx"}


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The bin folder of a venv with nothing but what a bundle for this machine holds, as its instruction says."""
    assert wheel, "scripts/build has its environment: two that make it at once would meet"
    arch, python = platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}"
    if arch not in ARCHITECTURES:
        pytest.skip(f"there is no bundle for {arch}")

    def make(folder: Path) -> None:
        bundle_installed(folder, Path(sys.executable), arch, "--python", python)

    return once(tmp_path_factory, worker_id, "base-install", make) / "venv" / "bin"


@pytest.mark.timeout(900)
def test_a_base_install_holds_nothing_of_the_controllers(base: Path) -> None:
    listed = subprocess.run([base / "pip", "list", "--format", "json"], capture_output=True, check=True, timeout=60)
    assert {entry["name"].lower() for entry in json.loads(listed.stdout)}.isdisjoint(CONTROLLER_ONLY)
    refused = subprocess.run([base / "edgefleet"], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert "pip install 'edgefleet[controller,compression]'" in refused.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("simulated", [True, False])
def test_an_agent_of_a_base_install_reports_itself(base: Path, broker, tmp_path: Path, simulated: bool) -> None:
    heard = threading.Event()
    reports: list[dict] = []

    def take(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        reports.append(json.loads(message.payload))
        heard.set()

    observer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    observer.on_message = take
    observer.connect(broker.host, broker.port)
    observer.subscribe(up("lonely", "reported"))
    observer.loop_start()
    command = [base / "edgefleet-agent", "run", "--state", tmp_path / "state", "--device", "lonely"]
    command += ["--broker", broker.url, "--region", "eu", "--link", "lte", "--http", "127.0.0.1:0"]
    command += ["--simulate-hardware", "rpi4"] if simulated else []
    agent = subprocess.Popen(command, env=bare_environment(), cwd=tmp_path)
    try:
        assert heard.wait(60), "the agent did not report within a minute"
        assert agent.poll() is None
    finally:
        agent.terminate()
        agent.wait(30)
        observer.disconnect()
        observer.loop_stop()
    facts = reports[0]["facts"]
    assert facts["simulated"] is simulated
    assert facts["hardware"] == "rpi4" if simulated else facts["hardware"] in load_catalogue().hardware
