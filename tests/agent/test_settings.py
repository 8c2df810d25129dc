"""Settings: three layers, one clear line for each mistake."""

import argparse
import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.deep_toml import UNUSABLE
from tests.pages import DOCS, defaults_of, section, table

from edgefleet_agent.__main__ import main
from edgefleet_agent.cli import _parser
from edgefleet_agent.errors import SettingsError
from edgefleet_agent.facts import DEVICE_TREE, describe, host_facts, recognize
from edgefleet_agent.settings import AgentSettings, load_settings
from edgefleet_process.environment import PREFIX
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import is_generic
from edgefleet_protocol.broker_address import BrokerAddress
from edgefleet_protocol.messages import HostFacts

NEEDED: dict[str, Any] = {"state": "/s", "device": "d1", "broker": "mqtt://b", "region": "eu", "link": "lte"}


def test_flags_win_over_variables_and_these_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('device = "of-the-file"\nregion = "eu"\nlink = "lte"\nheartbeat_s = 5\n[labels]\nsite = "a"\n')
    settings = load_settings(
        {"config": str(file), "state": "/s", "broker": "mqtt://b", "device": "of-the-flags"},
        {"EDGEFLEET_DEVICE": "of-the-variables", "EDGEFLEET_LINK": "wifi", "EDGEFLEET_LABELS": "site=b,row=c"},
    )
    assert (settings.device, settings.link, settings.heartbeat_s) == ("of-the-flags", "wifi", 5)
    assert settings.labels == {"site": "b", "row": "c"}


def test_a_simulated_hardware_of_a_higher_layer_replaces_the_real_one() -> None:
    settings = load_settings(NEEDED | {"simulate_hardware": "rpi4"}, {"EDGEFLEET_HARDWARE": "rpi5"})
    assert (settings.hardware, settings.simulate_hardware) == (None, "rpi4")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device": "Not A Name"}, "^device: 'Not A Name' is not a name: use lower-case letters"),
        ({"heartbeat_s": 0}, "^heartbeat_s: must be at least 0.1, not 0$"),
        ({"window_s": 1e-300}, "^window_s: must be at least 0.1"),
        ({"labels": {f"k{n}": "v" for n in range(65)}}, "^labels: must have at most 64 items"),
        ({"threads": "many"}, "^threads: must be a whole number, not 'many'$"),
        ({"colour": "red"}, "unknown setting 'colour': use one of state, device, broker, "),
        ({"hearbeat_s": 5}, "unknown setting 'hearbeat_s': did you mean 'heartbeat_s'\\?"),
        ({"hardware": "rpi4", "simulate_hardware": "rpi5"}, "exclude each other: set one"),
        ({"labels": {"k": "No!"}}, "^labels.k: 'No!' is not a name"),
        ({"labels": {"N o": "x"}}, "^labels.N o: 'N o' is not a name"),
        ({"labels": {"region": "na"}}, "^labels: 'region' is a fact of every device and no label of yours: give it"),
        ({"http_names": "a b"}, "^http_names: 'a b' is no name of a host: give it alone, such as gateway.example.org"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        load_settings(NEEDED | changes, {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_setting_says_how_to_give_it(name: str) -> None:
    flags = {key: value for key, value in NEEDED.items() if key != name}
    with pytest.raises(SettingsError, match=f"'{name}' is not set: give --{name}, EDGEFLEET_{name.upper()}"):
        load_settings(flags, {})


@pytest.mark.parametrize("broker", ["b:1883", "http://b", "mqtt://", "mqtt://b:port", "mqtt://b:99999"])
def test_a_wrong_broker_is_told_the_right_form(broker: str) -> None:
    with pytest.raises(SettingsError, match="mqtt://HOST:PORT"):
        _ = load_settings(NEEDED | {"broker": broker}, {}).broker_settings


def test_a_broker_with_tls_and_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    flags = NEEDED | {"broker": "mqtts://b", "username": "u", "password_file": tmp_path / "password"}
    broker = load_settings(flags, {}).broker_settings
    assert broker.addresses == (BrokerAddress("b", 8883, tls=True),)
    assert (broker.username, broker.password()) == ("u", "secret")


SEVERAL = (BrokerAddress("near", 1883, tls=False), BrokerAddress("far", 8883, tls=True))


def test_several_brokers_are_named_by_flags_a_variable_or_a_list_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('broker = ["mqtt://near", "mqtts://far"]\n')
    needed = {name: value for name, value in NEEDED.items() if name != "broker"}
    for flags, environment in (
        ({"broker": ["mqtt://near", "mqtts://far"]}, {}),
        ({"broker": ["mqtt://near, mqtts://far"]}, {}),
        ({}, {"EDGEFLEET_BROKER": "mqtt://near,mqtts://far"}),
        ({"config": str(config)}, {}),
    ):
        assert load_settings(needed | flags, environment).broker_settings.addresses == SEVERAL


def test_a_certificate_is_for_whichever_brokers_speak_tls() -> None:
    both = NEEDED | {"broker": "mqtt://near,mqtts://far", "ca_file": "ca.pem"}
    assert load_settings(both, {}).broker_settings.ca_file == Path("ca.pem")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"broker": "mqtt://u:geheim@b"}, "settings of their own"),
        ({"broker": "mqtt://b", "ca_file": "ca.pem"}, "mqtts://"),
        ({"broker": "mqtt://b,mqtt://c", "ca_file": "ca.pem"}, "mqtts://"),
        ({"broker": "mqtt://b,"}, "mqtt://HOST:PORT"),
        ({"broker": "mqtt://b,mqtt://u:geheim@c"}, "settings of their own"),
        ({"broker": "mqtt://b,mqtt://b:1883"}, "named twice"),
        ({"broker": "mqtt://b", "password_file": "password"}, "without username"),
    ],
)
def test_a_login_that_would_not_be_obeyed_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        _ = load_settings(NEEDED | given, {}).broker_settings
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("http", ["8080", "localhost", "localhost:x", ":1", "h:70000", "::1:8080", "[::1]", "[x]:1"])
def test_a_wrong_endpoint_is_told_the_right_form(http: str) -> None:
    with pytest.raises(SettingsError, match="HOST:PORT"):
        _ = load_settings(NEEDED | {"http": http}, {}).http_address


@pytest.mark.parametrize(
    ("http", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8080", ("::1", 8080)), ("localhost:80", ("localhost", 80))],
)
def test_an_endpoint_of_either_kind_of_address(http: str, address: tuple[str, int]) -> None:
    assert load_settings(NEEDED | {"http": http}, {}).http_address == address


def test_without_a_setting_the_endpoint_is_the_one_of_the_documents() -> None:
    assert load_settings(NEEDED, {}).http_address == ("127.0.0.1", 8080)


def test_a_simulated_device_reports_the_catalogues_facts_and_its_host(tmp_path: Path) -> None:
    described = describe(AgentSettings.model_validate(NEEDED | {"state": tmp_path, "simulate_hardware": "rpi4"}))
    assert (described.facts.arch, described.facts.simulated) == ("aarch64", True)
    assert described.host_facts == host_facts() and described.host_facts.ram_mb > 100
    assert (described.region.name, described.link.name) == ("eu", "lte")


def test_a_real_device_reports_what_the_machine_is(tmp_path: Path) -> None:
    host = host_facts()
    named = load_catalogue().generic(host.arch, host.isa)
    assert named
    described = describe(AgentSettings.model_validate(NEEDED | {"state": tmp_path, "hardware": named.name}))
    assert (described.facts.cores, described.facts.ram_mb, described.facts.isa) == (host.cores, host.ram_mb, host.isa)
    assert described.facts.storage_mb > 0 and described.facts.onnxruntime and not described.facts.simulated
    assert described.host_facts is None


def machine(arch: str, *flags: str) -> HostFacts:
    return HostFacts(cpu="of a test", arch=arch, isa=frozenset(flags), cores=2, ram_mb=1024)


def test_a_known_board_is_recognized_by_its_device_tree() -> None:
    board, host = "Raspberry Pi 5 Model B Rev 1.0", machine("aarch64", "asimd", "asimddp")
    assert recognize(load_catalogue(), board, host).name == "rpi5"


@pytest.mark.parametrize(
    ("board", "host", "name"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", machine("aarch64", "asimd"), "generic-arm-neon"),
        ("", machine("aarch64", "asimd", "asimddp", "i8mm"), "generic-arm-dotprod"),
        ("", machine("x86_64", "avx2"), "generic-x86-avx2"),
    ],
)
def test_another_machine_counts_as_the_generic_class_of_its_instruction_set_and_is_told(
    board: str, host: HostFacts, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edgefleet.agent")
    assert recognize(load_catalogue(), board, host).name == name
    assert f"board not recognized: running as {name}, the generic class" in caplog.text


def test_a_processor_that_no_generic_class_covers_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"riscv64.* cover aarch64 and x86_64 only.* with --hardware"):
        recognize(load_catalogue(), "StarFive VisionFive V2", machine("riscv64"))


def test_the_operators_entry_for_a_class_wins_over_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "hardware" / "generic-arm-neon.toml"
    own.parent.mkdir()
    shipped = (files("edgefleet_profiles") / "data" / "hardware" / own.name).read_text()
    own.write_text(shipped.replace("ram_mb = 1024", "ram_mb = 2048"))
    assert recognize(load_catalogue(tmp_path), "", machine("aarch64", "asimd")).ram_mb == 2048


def test_a_machine_without_a_name_for_its_hardware_reports_a_generic_class_and_its_own_figures(tmp_path: Path) -> None:
    host = host_facts()
    if load_catalogue().generic(host.arch, host.isa) is None:
        pytest.skip(f"no generic class covers {host.arch}")
    facts = describe(AgentSettings.model_validate(NEEDED | {"state": tmp_path})).facts
    assert (facts.cores, facts.ram_mb, facts.isa, facts.simulated) == (host.cores, host.ram_mb, host.isa, False)
    assert is_generic(facts.hardware) or DEVICE_TREE.exists()


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"edgefleet-agent {version('edgefleet')}\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["run"], "edgefleet-agent: 'state' is not set"),
        (
            ["run", "--config", "/nowhere.toml"],
            "edgefleet-agent: the settings cannot be read: '/nowhere.toml': no such",
        ),
        (["status", "--state", "/nowhere"], "edgefleet-agent: /nowhere is not the state folder"),
    ],
)
def test_a_mistake_costs_one_line(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEFLEET_STATE", raising=False)
    assert main(flags) == 1
    error = capsys.readouterr().err
    assert error.startswith(told) and error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--threads", "many"], "threads: must be a whole number, not 'many'\n"),
        (["--heartbeat", "nan"], "heartbeat_s: must be at most 86400, not 'nan'\n"),
        (["--label", "region=na"], "labels: 'region' is a fact of every device and no label of yours: give it another"),
        (["--label", "x="], "labels.x: '' is not a name: use lower-case letters"),
        (["--password-file", "nope", "--username", "d"], "no password can be read: 'nope': no such file or directory"),
    ],
)
def test_a_flag_is_refused_in_words_of_its_own(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    others = ["--device", "d", "--broker", "mqtt://127.0.0.1:9", "--region", "eu", "--link", "lte"]
    assert main(["check", "--state", "/proc/nowhere", *others, *flags]) == 1
    said = "".join(capsys.readouterr())
    assert told in said
    assert not re.search("Errno|Value error|Input should|--ca-file|valid", said)


def test_an_unknown_name_is_told_its_neighbours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["run", "--state", str(tmp_path), "--device", "d1", "--broker", "mqtt://b", "--region", "eu"]
    assert main([*flags, "--link", "ltee", "--simulate-hardware", "rpi4"]) == 1
    assert "did you mean lte?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "/dev/zero"], "/dev/zero has more than 1,048,576 bytes: give the TOML file of settings"),
        (["--state", "/dev/null"], "/dev/null is not a folder: give another --state"),
    ],
)
def test_a_device_in_place_of_a_file_or_folder_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--device", "d", "--broker", "mqtt://127.0.0.1:1", "--region", "eu", "--link", "lte"]
    assert main(["run", *given, *words]) == 1
    assert capsys.readouterr().err == f"edgefleet-agent: {said}\n"


@pytest.mark.parametrize("kind", UNUSABLE)
def test_toml_that_nobody_can_work_with_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(UNUSABLE[kind])
    with pytest.raises(SettingsError, match=r"agent\.toml is not TOML"):
        load_settings({"config": str(file)}, {})


PAGE = (DOCS / "agent.md").read_text()


def test_every_setting_is_on_the_page_with_its_flag_variable_and_default() -> None:
    (run,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    flags = {action.dest: action.option_strings[-1] for action in run.choices["run"]._actions}
    rows = table(PAGE, "## Settings", "in the file")
    written = {row["in the file"]: (row["flag"], row["variable"], row["default"]) for row in rows}
    defaults = {name: default.strip('"').removesuffix(".0") for name, default in defaults_of(AgentSettings).items()}
    assert written == {name: (flags.get(name, ""), PREFIX + name.upper(), defaults[name]) for name in defaults}
    assert all(row["what"] for row in rows)


def test_flags_that_are_no_settings_are_under_the_table() -> None:
    (run,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    others = [a for a in run.choices["run"]._actions if a.dest not in {*AgentSettings.model_fields, "help"}]
    said = section(PAGE, "## Settings")
    assert [a.option_strings[-1] for a in others if a.option_strings[-1] not in said] == []


def test_a_variable_that_nothing_reads_is_told_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEFLEET_BROKERS", "mqtt://u:geheim@127.0.0.1:1")
    for command in ("run", "check"):
        assert main([command, "--state", str(tmp_path), "--device", "d", "--region", "eu", "--link", "lte"]) == 1
        said = capsys.readouterr().err.splitlines()
        warning = "nothing reads EDGEFLEET_BROKERS (did you mean EDGEFLEET_BROKER?): correct or unset it"
        assert said[0].startswith(f"edgefleet-agent: warning: {warning}") and "'broker' is not set" in said[1]
