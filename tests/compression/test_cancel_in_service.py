"""Operations are cancelled where they run: workers end at once, finished steps stay, and nothing is published."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.plain import PlainClient
from tests.service import api_of, running_service
from typer.testing import CliRunner, Result

from edgefleet_controller.service import Service
from edgefleet_operator.cli import app
from edgefleet_operator.errors import ApiError

PROFILE = "eu/rpi4/lte"
SHORT = [{"step": "finetune", "config": {"epochs": 1}}, {"step": "export"}]
LONG = [SHORT[0], {"step": "finetune", "config": {"epochs": 1000, "batch": 2}}, {"step": "export"}]
ENDS_WITHIN_S = 5.0
"""An order must be felt at once; measured: 0.2 s on an idle host."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service, tiny_folder: Path) -> Iterator[PlainClient]:
    with api_of(service) as address, closing(PlainClient(address)) as opened:
        opened.add_model(tiny_folder)
        yield opened


def types(client: PlainClient, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": client.url, "COLUMNS": "300"})
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def start(client: PlainClient, steps: list[dict[str, Any]], name: str) -> str:
    recipe = {"name": name, "title": name, "steps": steps}
    return str(client.post("/builds", {"model": "tiny@1", "profiles": [PROFILE], "recipes": [recipe]})["id"])


def search(client: PlainClient) -> str:
    order = {"model": "tiny@1", "profiles": [PROFILE], "search": {"budget_min": 60}}
    return str(client.post("/builds", order)["id"])


def wait(condition: Callable[[], Any], what: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


def state(client: PlainClient, operation: str) -> str:
    return str(client.get(f"/operations/{operation}")["state"])


def step_of(client: PlainClient, operation: str) -> int | None:
    return max(
        (entry.get("step_index") or 0 for entry in client.get(f"/operations/{operation}")["progress"]), default=0
    )


def busy() -> list[psutil.Process]:
    """Child processes of this one that compute: workers of builds."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.cpu_percent(0.2) > 20:
                found.append(child)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_a_running_build_ends_at_once_with_its_workers_and_its_finished_steps_are_kept(
    service: Service, client: PlainClient
) -> None:
    operation = start(client, LONG, "long")
    wait(lambda: step_of(client, operation) == 1, "the second step")
    assert busy(), "a worker trains"
    began = time.monotonic()
    said = types(client, "operation", "cancel", operation).stdout
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert said == f"operation {operation[-8:]} is cancelled: it was cancelled; its finished steps are in the cache\n"
    assert busy() == []
    assert not (service.settings.state / "work" / operation).exists()
    shown = client.get(f"/operations/{operation}")
    assert (shown["state"], shown["result"]) == ("cancelled", None)
    assert [what for _, what, _ in service.store.fleet.audit.of(operation)] == ["operation cancelled"]
    assert client.get("/variants")["items"] == []
    short = start(client, SHORT, "short")
    wait(lambda: state(client, short) != "running", "the next build")
    counts = client.get(f"/operations/{short}")["result"]["steps"]
    assert counts["cached"] == 1, "the step that both begin with"


@pytest.mark.slow
def test_a_running_search_ends_at_once(client: PlainClient) -> None:
    operation = search(client)
    wait(lambda: len(client.get(f"/operations/{operation}")["progress"]) > 1, "a build of the search")
    wait(busy, "a worker to compute")
    began = time.monotonic()
    types(client, "operation", "cancel", operation)
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert state(client, operation) == "cancelled"
    assert busy() == []
    with pytest.raises(ApiError, match="no report"):
        client.get(f"/operations/{operation}/search")


@pytest.mark.slow
def test_one_that_waits_is_cancelled_without_a_wait_and_the_one_before_it_goes_on(client: PlainClient) -> None:
    first, second, third = (start(client, LONG, f"long-{n}") for n in "abc")
    types(client, "operation", "cancel", second)
    assert (state(client, first), state(client, second)) == ("running", "cancelled")
    types(client, "operation", "cancel", first)
    wait(lambda: step_of(client, third) == 1, "the third, as nothing is before it any more")
    types(client, "operation", "cancel", third)
    said = types(client, "operation", "cancel", third, code=1).stderr
    assert said == f"edgefleet: operation {third[-8:]} was cancelled before: it cannot be cancelled any more\n"
    listed = types(client, "operation", "list", "--state", "cancelled").stdout
    assert listed.count("cancelled") >= 3


@pytest.mark.slow
def test_what_has_ended_is_refused(client: PlainClient) -> None:
    short = start(client, SHORT, "short")
    wait(lambda: state(client, short) != "running", "the build")
    said = types(client, "operation", "cancel", short, code=1).stderr
    assert said == f"edgefleet: operation {short[-8:]} has succeeded: it cannot be cancelled any more\n"
    assert state(client, short) == "succeeded"


@pytest.mark.slow
def test_who_follows_an_operation_that_is_cancelled_learns_it(client: PlainClient) -> None:
    operation = start(client, LONG, "long")
    client.post(f"/operations/{operation}/cancel", None)
    shown = types(client, "operation", "show", operation, "--watch", code=1).stdout
    assert "cancelled" in shown


@pytest.mark.slow
def test_ctrl_c_ends_the_command_and_not_the_work_and_says_how_to_end_that(client: PlainClient, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefleet_operator", "compress", "tiny@1", "--profile", PROFILE, "--budget", "60"]
    environment = {**os.environ, "EDGEFLEET_API": client.url}
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    running = lambda: [o["id"] for o in client.get("/operations")["items"] if o["state"] == "running"]  # noqa: E731
    wait(running, "the search to begin")
    (operation,) = running()
    time.sleep(1)  # it watches now
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (130, "")
    short = operation[-8:]
    assert err.splitlines()[-1] == (
        f"operation {short} goes on: `edgefleet operation show {short} --watch` follows it, "
        f"`edgefleet operation cancel {short}` ends it"
    )
    assert state(client, operation) == "running"
    types(client, "operation", "cancel", short)
    assert state(client, operation) == "cancelled"
