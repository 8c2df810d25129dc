"""`edgefleet-agent check`: whether an agent with these settings would work here; safe beside a running one."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edgefleet_agent.bus import try_broker
from edgefleet_agent.errors import AgentError, SettingsError
from edgefleet_agent.facts import describe, onnxruntime_version
from edgefleet_agent.providers import TINY_MODEL, computes, probe
from edgefleet_agent.settings import AgentSettings
from edgefleet_agent.status import read_models, told_slots
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_process.causes import in_words
from edgefleet_process.errors import ProcessError
from edgefleet_process.locks import make_folder
from edgefleet_profiles.parts import is_generic

UNLIKE = "the agent would run, but the controller would call the device UNLIKE: give it the hardware that it is"
ENOUGH_MB = 100
"""Room for a few small models, two variants of each, and the telemetry spool."""
MB = 1024 * 1024


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; `text` says what was found, or what to do."""

    check: str
    ok: bool
    text: str


def run_checks(settings: AgentSettings) -> list[CheckResult]:
    """Run every check, also after a failure."""
    checks: dict[str, Callable[[AgentSettings], str]] = {
        "disk": _disk,
        "profile": _profile,
        "broker": _broker,
        "inference": _inference,
        "providers": _providers,
        "variants": _variants,
    }
    return [_find(name, check, settings) for name, check in checks.items()]


def show_checks(settings: AgentSettings, as_json: bool) -> int:
    """Print the results; returns 0 if every check passed, else 1."""
    found = run_checks(settings)
    if as_json:
        ready = all(finding.ok for finding in found)
        print(json.dumps({"ok": ready, "checks": [asdict(finding) for finding in found]}, indent=2))
    else:
        for finding in found:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.check:<10} {finding.text}")
    return 0 if all(finding.ok for finding in found) else 1


def _find(name: str, check: Callable[[AgentSettings], str], settings: AgentSettings) -> CheckResult:
    try:
        return CheckResult(name, True, check(settings))
    except (AgentError, ProcessError, OSError) as error:
        return CheckResult(name, False, in_words(error))


def _disk(settings: AgentSettings) -> str:
    make_folder(settings.state)
    with tempfile.TemporaryFile(dir=settings.state):
        pass
    free_mb = shutil.disk_usage(settings.state).free // MB
    if free_mb < ENOUGH_MB:
        raise AgentError(f"only {free_mb} MB are free for {settings.state}: make room for at least {ENOUGH_MB} MB")
    return f"{free_mb} MB are free for {settings.state}"


def _profile(settings: AgentSettings) -> str:
    described = describe(settings)
    facts = described.facts
    simulated = ", simulated" if facts.simulated else ""
    generic = ", a generic class: --hardware names a known board" if is_generic(facts.hardware) else ""
    found = f"{facts.region}/{facts.hardware}/{facts.link} ({facts.arch}, {facts.ram_mb} MB{simulated}{generic})"
    if described.notes:
        raise SettingsError("; ".join([found, *described.notes, UNLIKE]))
    return found


def _broker(settings: AgentSettings) -> str:
    """Try each address: one that fails only when it is needed is found too late."""
    broker, told, failed = settings.broker_settings, list[str](), False
    for address in broker.addresses:
        try:
            try_broker(broker, address, settings.device)
            told.append(f"{address} lets in {broker.username or 'us without a user'}")
        except SettingsError as error:
            told.append(str(error))
            failed = True
    if failed:
        raise SettingsError("; ".join(told))
    return "; ".join(told)


def _inference(settings: AgentSettings) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(TINY_MODEL)
        worker = Worker(WorkerSpec(path, {}, settings.threads))
        try:
            right = computes(worker)
        finally:
            worker.kill()
    if not right:
        raise AgentError("onnxruntime computes 1 + 1 wrong: reinstall it for this processor")
    return f"onnxruntime {onnxruntime_version()} answers in a worker of its own"


def _providers(settings: AgentSettings) -> str:
    """Which work; that one of them does not is no failure, unless the hardware's entry asks for it: see the profile."""
    return "; ".join(state.told for state in probe((), settings.threads))


def _variants(settings: AgentSettings) -> str:
    return "; ".join(told_slots(read_models(settings.state))) or "none is installed"
