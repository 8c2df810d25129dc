"""A machine does not pass for what it is not, and the providers that a device reports are those that run."""

from importlib.resources import files
from pathlib import Path

import pytest

from edgefleet_agent.errors import SettingsError
from edgefleet_agent.facts import describe, host_facts
from edgefleet_agent.processor import cannot_run, differs, is_false
from edgefleet_agent.providers import NOT_THERE, TINY_MODEL
from edgefleet_agent.settings import AgentSettings
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.messages import HostFacts

BOARDS = load_catalogue().hardware
CPU = "CPUExecutionProvider"


def machine(arch: str, *flags: str, ram_mb: int = 8192) -> HostFacts:
    return HostFacts(cpu="of a test", arch=arch, isa=frozenset(flags), cores=4, ram_mb=ram_mb)


@pytest.mark.parametrize(
    ("name", "host", "told"),
    [
        ("rpi5", machine("x86_64", "avx2"), "'rpi5' is aarch64, this machine is x86_64: leave out --hardware, or "),
        ("rpi5", machine("aarch64", "asimd"), "'rpi5' is of class arm-dotprod, this machine only of arm-neon: leave"),
        ("x86-vnni", machine("x86_64", "avx2"), "'x86-vnni' is of class x86-vnni, this machine only of x86-avx2: "),
    ],
)
def test_another_processor_is_refused(name: str, host: HostFacts, told: str) -> None:
    assert (is_false(BOARDS[name], host) or "").startswith(told)


@pytest.mark.parametrize(
    ("name", "host", "told"),
    [
        (
            "x86-avx2",
            machine("x86_64", "avx2", "avx_vnni"),
            "'x86-avx2' is of class x86-avx2, this machine of x86-vnni",
        ),
        ("rpi4", machine("aarch64", "asimd", ram_mb=1800), "'rpi4' has 4096 MB, this machine 1800 MB"),
    ],
)
def test_a_machine_with_more_instructions_or_less_memory_is_told(name: str, host: HostFacts, told: str) -> None:
    assert is_false(BOARDS[name], host) is None
    assert (differs(BOARDS[name], host) or "").startswith(told)


def test_a_board_that_reports_a_little_less_memory_than_it_is_sold_with_is_itself() -> None:
    assert differs(BOARDS["rpi4"], machine("aarch64", "asimd", ram_mb=3800)) is None


def test_a_processor_without_the_instructions_of_onnxruntime_is_refused() -> None:
    assert "has no SSE4.2" in (cannot_run("x86_64", {"sse2", "ssse3"}) or "")
    assert cannot_run("x86_64", {"sse2", "sse4_2"}) is cannot_run("aarch64", {"asimd"}) is None
    assert cannot_run("x86_64", set()) is None  # a machine that does not tell


def test_the_agent_does_not_start_as_a_board_that_it_is_not(tmp_path: Path) -> None:
    other = "rpi5" if host_facts().arch == "x86_64" else "x86-avx2"
    with pytest.raises(SettingsError, match=f"'{other}' is .* --simulate-hardware {other}"):
        describe(settings(tmp_path, hardware=other))


def settings(state: Path, **more: object) -> AgentSettings:
    needed = {"device": "d", "broker": "mqtt://b", "region": "eu", "link": "lte", "state": state}
    return AgentSettings.model_validate(needed | more)


def test_what_the_runtime_lacks_is_told_and_not_reported_as_running(tmp_path: Path) -> None:
    host = host_facts()
    own = load_catalogue().generic(host.arch, host.isa)
    assert own
    folder = tmp_path / "catalogue" / "hardware"
    folder.mkdir(parents=True)
    shipped = (files("edgefleet_profiles") / "data" / "hardware" / f"{own.name}.toml").read_text()
    (folder / "npu-box.toml").write_text(f'providers = ["QNNExecutionProvider", "{CPU}"]\n{shipped}')
    found = describe(settings(tmp_path, hardware="npu-box", catalogue=tmp_path / "catalogue"))
    assert (found.facts.providers, found.facts.lacks_providers) == ((CPU,), ("QNNExecutionProvider",))
    told = f"QNNExecutionProvider does not work here, as npu-box asks ({NOT_THERE}): models run on {CPU}"
    assert found.notes == (told,)


def test_a_worker_says_which_providers_run_its_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(TINY_MODEL)
    worker = Worker(WorkerSpec(tmp_path / "model.onnx", {}, providers=("NoSuchExecutionProvider", CPU)))
    try:
        assert worker.providers == (CPU,)
    finally:
        worker.kill()
