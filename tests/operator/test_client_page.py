"""docs/client.md says what the client does: its examples run one after the other, and its tables are complete."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operator.test_client_routes import client, public_methods
from tests.service import api_of, running_service

from edgefleet_operator import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)


def test_the_table_names_every_method_of_every_noun() -> None:
    opened = client()
    nouns = {name: one for name, one in vars(opened).items() if not name.startswith("_")}
    found = {f"client.{noun}": {name for name, _ in public_methods(one)} for noun, one in nouns.items()}
    found["client"] = {name for name, _ in public_methods(opened)} | {"url"}
    rows = re.findall(r"^\| `(client[.a-z]*)` \| (.*) \|$", PAGE, flags=re.M)
    assert {noun: set(re.findall(r"`([a-z_]+)`", methods)) for noun, methods in rows} == found


def test_the_tree_of_errors_is_on_the_page() -> None:
    tree = (errors.__doc__ or "").partition("\n\n")[2].strip()
    assert f"```\n{tree}\n```" in PAGE


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[str]:
    """The address of a controller that one device has joined."""
    with running_service(tmp_path / "state", accept_all=True) as service, api_of(service) as url:
        command = [sys.executable, "-m", "edgefleet_agent", "run", "--state", str(tmp_path / "agent"), "--device", "d"]
        command += ["--broker", service.access.url, "--region", "eu", "--link", "lte", "--simulate-hardware", "rpi4"]
        agent = subprocess.Popen([*command, "--http", "127.0.0.1:0", "--heartbeat", "1", "--window", "1"])
        try:
            until = time.monotonic() + 60
            while service.store.fleet.devices.find("d") is None:
                assert time.monotonic() < until, "the agent has not reported"
                time.sleep(0.1)
            yield url
        finally:
            agent.terminate()
            agent.wait(30)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.fleet
def test_the_examples_run_one_after_the_other(
    controller: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for example in EXAMPLES:
        here = example.replace("http://127.0.0.1:8080", controller).replace("soak_s=600", "soak_s=1")
        exec(compile(here, "docs/client.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "data.npz: " in shown and "fashion@1" in shown
    assert "wave 1: d" in shown
    assert re.search(r"^completed ", shown, flags=re.M)
    assert "d committed" in shown
    assert "no model fashion@7" in shown
