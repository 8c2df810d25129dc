"""A base install is the agent alone, and it runs."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from edgefleet_protocol.topics import up

ROOT = Path(__file__).parents[1]
CONTROLLER_ONLY = {"torch", "torchao", "onnx", "fastapi", "uvicorn", "sqlite-utils", "typer", "rich", "httpx"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a venv with nothing but the base install."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
    subprocess.run(install, check=True, timeout=220)
    return folder / "bin"


@pytest.mark.slow
def test_a_base_install_holds_nothing_of_the_controllers(base: Path) -> None:
    listed = subprocess.run([base / "pip", "list", "--format", "json"], capture_output=True, check=True, timeout=60)
    assert {entry["name"].lower() for entry in json.loads(listed.stdout)}.isdisjoint(CONTROLLER_ONLY)
    refused = subprocess.run([base / "edgefleet"], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert "pip install 'edgefleet[controller,compression]'" in refused.stderr


@pytest.mark.slow
def test_an_agent_of_a_base_install_reports_itself(base: Path, broker, tmp_path: Path) -> None:
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
    command += ["--broker", broker.url, "--region", "eu", "--link", "lte", "--simulate-hardware", "rpi4"]
    agent = subprocess.Popen(command)
    try:
        assert heard.wait(60), "the agent did not report within a minute"
        assert agent.poll() is None
    finally:
        agent.terminate()
        agent.wait(30)
        observer.disconnect()
        observer.loop_stop()
    assert reports[0]["facts"]["hardware"] == "rpi4"
    assert reports[0]["facts"]["simulated"] is True
