"""`edgefleet-agent check` says line by line whether an agent would work here."""

import json
import re
import socket
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import free_port

from edgefleet_agent.cli import main
from edgefleet_agent.facts import host_facts
from edgefleet_agent.watchdog import Watchdog
from edgefleet_controller.credentials import Credentials, make_credentials
from edgefleet_controller.fleet.broker import EmbeddedBroker
from edgefleet_profiles.catalogue import load_catalogue


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    given = {"state": str(tmp_path / "state"), "device": "d", "region": "eu", "link": "lte"}
    return {**given, "simulate_hardware": "rpi4"}


def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """The exit status, and each check's finding."""
    file = tmp_path / "agent.toml"
    file.write_text("\n".join(f'{name} = "{value}"' for name, value in settings.items()))
    status = main(["check", "--config", str(file), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (status == 0)
    return status, {finding["check"]: finding for finding in told["checks"]}


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[tuple[EmbeddedBroker, Credentials]]:
    """A broker that lets only its users in."""
    credentials, _ = make_credentials(tmp_path)
    broker = EmbeddedBroker.open(tmp_path, credentials=credentials)
    yield broker, credentials
    broker.stop()


@pytest.mark.broker
def test_everything_is_well(tmp_path: Path, capsys, settings, any_broker) -> None:
    status, found = check(tmp_path, capsys, {**settings, "broker": any_broker.url})
    assert status == 0, found
    assert set(found) == {"disk", "profile", "broker", "inference", "providers", "variants"}
    assert "CPUExecutionProvider" in found["providers"]["text"] and "works" in found["providers"]["text"]
    assert found["variants"]["text"] == "none is installed"
    assert "eu/rpi4/lte" in found["profile"]["text"]


@pytest.mark.broker
def test_what_the_broker_does_not_let_in_is_told_where_to_look(tmp_path: Path, capsys, settings, closed) -> None:
    broker, credentials = closed
    status, found = check(tmp_path, capsys, {**settings, "broker": broker.url})
    assert status == 1
    assert "--password-file" in found["broker"]["text"]
    password = tmp_path / "password"
    password.write_text(f"{credentials.device_password}\n")
    known = {**settings, "broker": broker.url, "username": "device", "password_file": str(password)}
    status, found = check(tmp_path, capsys, known)
    assert status == 0, found


def test_each_fault_is_one_line_and_the_others_are_checked_all_the_same(tmp_path: Path, capsys, settings) -> None:
    wrong = {**settings, "broker": "mqtt://127.0.0.1:1", "link": "pigeon"}
    status, found = check(tmp_path, capsys, wrong)
    assert status == 1
    assert "refused" in found["broker"]["text"]
    assert "pigeon" in found["profile"]["text"]
    assert found["inference"]["ok"]
    assert all("\n" not in finding["text"] for finding in found.values())


def test_a_state_that_is_no_folder_is_told(tmp_path: Path, capsys, settings) -> None:
    status, found = check(tmp_path, capsys, {**settings, "broker": "mqtt://127.0.0.1:1", "state": "/dev/null"})
    assert (status, found["disk"]["text"]) == (1, "/dev/null is not a folder: give another --state")


def test_for_people_each_line_begins_with_ok_or_fail(tmp_path: Path, capsys, settings) -> None:
    words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert main(["check", *words, "--broker", "mqtt://127.0.0.1:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "disk"],
        ["ok", "profile"],
        ["FAIL", "broker"],
        ["ok", "inference"],
        ["ok", "providers"],
        ["ok", "variants"],
    ]


def test_a_machine_that_the_controller_would_call_unlike_its_hardware_does_not_pass(
    tmp_path: Path, capsys, settings
) -> None:
    host = host_facts()
    own = load_catalogue().generic(host.arch, host.isa)
    assert own
    folder = tmp_path / "catalogue" / "hardware"
    folder.mkdir(parents=True)
    shipped = (files("edgefleet_profiles") / "data" / "hardware" / f"{own.name}.toml").read_text()
    larger = re.sub(r"^ram_mb = \d+$", f"ram_mb = {4 * host.ram_mb}", shipped, flags=re.MULTILINE)
    (folder / "large-box.toml").write_text(larger)
    (folder / "box.toml").write_text(re.sub(r"^ram_mb = \d+$", f"ram_mb = {host.ram_mb}", shipped, flags=re.MULTILINE))
    del settings["simulate_hardware"]
    given = {**settings, "broker": "mqtt://127.0.0.1:1", "catalogue": str(tmp_path / "catalogue")}
    _, found = check(tmp_path, capsys, {**given, "hardware": "large-box"})
    assert not found["profile"]["ok"]
    assert (
        f"'large-box' has {4 * host.ram_mb} MB, this machine {host.ram_mb} MB; the agent would run"
        in (found["profile"]["text"])
    )
    _, found = check(tmp_path, capsys, {**given, "hardware": "box"})
    assert found["profile"]["ok"], found


def test_without_a_needed_setting_it_says_which(capsys) -> None:
    assert main(["check", "--state", "/s"]) == 1
    assert "'device' is not set" in capsys.readouterr().err


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_that_the_agent_is_ready_alive_and_stopping(tmp_path: Path, abstract: bool) -> None:
    name = f"@edgefleet-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        watchdog = Watchdog({"NOTIFY_SOCKET": name})
        watchdog.ready()
        watchdog.alive()
        watchdog.stopping()
        assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    Watchdog(environment).alive()


@pytest.mark.broker
def test_of_several_brokers_each_is_tried_and_one_that_fails_is_a_fault(
    tmp_path: Path, capsys, settings, broker
) -> None:
    dead = f"mqtt://127.0.0.1:{free_port()}"
    status, found = check(tmp_path, capsys, {**settings, "broker": f"{broker.url},{dead}"})
    assert status == 1 and not found["broker"]["ok"]
    assert f"{broker.url} lets in us without a user" in found["broker"]["text"]
    assert dead.removeprefix("mqtt://") in found["broker"]["text"]
