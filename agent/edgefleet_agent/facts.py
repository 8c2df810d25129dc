"""What this device is: read from the machine or, if it simulates another, from the catalogue."""

import logging
import os
import platform
import shutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgefleet_agent.errors import SettingsError
from edgefleet_agent.own_memory import budget_of, system_limit_mb
from edgefleet_agent.processor import cannot_run, differs, is_false
from edgefleet_agent.providers import probe
from edgefleet_agent.settings import AgentSettings
from edgefleet_agent.worker_handle import CPU
from edgefleet_profiles.catalogue import Catalogue, load_catalogue, look_up
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.parts import Hardware, Link, Region, is_generic
from edgefleet_protocol.messages import Facts, HostFacts
from edgefleet_protocol.ran_on import ProviderState

# The flags that decide which kernels run, and with them latency and exact answers.
ISA_FLAGS = frozenset(
    {"avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "asimdhp", "i8mm", "sve", "bf16"}
)
MB = 1024 * 1024
log = logging.getLogger("edgefleet.agent")
DEVICE_TREE = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Described:
    """A device as its settings and its machine describe it."""

    facts: Facts
    host_facts: HostFacts | None
    region: Region
    link: Link
    notes: tuple[str, ...] = ()
    """How the machine falls short of what its hardware's entry says."""


def describe(settings: AgentSettings) -> Described:
    """Look the settings' names up in the catalogue and read the machine.

    Raises:
        SettingsError: a name is not in the catalogue, or no entry describes this machine, or another one than named,
            or onnxruntime cannot run here.
    """
    host = host_facts()
    if why := cannot_run(host.arch, _cpuinfo()[1]):
        raise SettingsError(why)
    try:
        catalogue = load_catalogue(settings.catalogue)
        region = look_up(catalogue.region, "region", settings.region)
        link = look_up(catalogue.link, "link", settings.link)
        if name := settings.simulate_hardware or settings.hardware:
            hardware = look_up(catalogue.hardware, "hardware", name)
        else:
            hardware = recognize(catalogue, _board(), host)
    except ProfileError as error:
        raise SettingsError(str(error)) from None
    simulated = settings.simulate_hardware is not None
    if not simulated and (why := is_false(hardware, host)):
        raise SettingsError(why)
    probed = probe(hardware.providers, settings.threads)
    working = [state.name for state in probed if state.works]
    taken = tuple(dict.fromkeys((*(name for name in hardware.providers if name in working), *CPU)))
    lacking = tuple(name for name in hardware.providers if name not in taken)
    notes = (
        *(_lacks(hardware.name, state, taken) for state in probed if state.name in lacking),
        *([told] if not simulated and (told := differs(hardware, host)) else []),
    )
    ram_mb = hardware.ram_mb if simulated else host.ram_mb
    facts = Facts(
        hardware=hardware.name,
        region=region.name,
        link=link.name,
        arch=hardware.arch if simulated else host.arch,
        isa=hardware.isa if simulated else host.isa,
        cores=hardware.cores if simulated else host.cores,
        ram_mb=ram_mb,
        storage_mb=hardware.storage_mb if simulated else shutil.disk_usage(settings.state).total // MB,
        providers=taken,
        lacks_providers=lacking,
        onnxruntime=onnxruntime_version(),
        simulated=simulated,
        memory=budget_of(ram_mb, settings.memory_mb, system_limit_mb()),
        probed=probed,
    )
    return Described(facts, host if simulated else None, region, link, notes)


def _lacks(hardware: str, state: ProviderState, taken: tuple[str, ...]) -> str:
    told = f"{state.name} does not work here, as {hardware} asks ({state.why})"
    return f"{told}: models run on {', '.join(taken)}"


def recognize(catalogue: Catalogue, board: str, host: HostFacts) -> Hardware:
    """The entry that describes this machine: its board or else the generic class of its instruction set.

    Args:
        catalogue: where to look.
        board: the text of /proc/device-tree/model, empty on a machine that has none.
        host: what the machine is.

    Raises:
        SettingsError: no entry describes it.
    """
    if found := catalogue.detect(board):
        return found
    if found := catalogue.generic(host.arch, host.isa):
        log.info(
            "board not recognized: running as %s, the generic class of this instruction set; its figures are "
            "estimates, --hardware names a known board",
            found.name,
        )
        return found
    covered = " and ".join(sorted({entry.arch for entry in catalogue.hardware.values() if is_generic(entry.name)}))
    raise SettingsError(
        f"no hardware in the catalogue fits this machine ({host.cpu}, {host.arch}), and generic classes cover "
        f"{covered} only: run the agent on one of those, or name what comes nearest with --hardware"
    )


def _board() -> str:
    return DEVICE_TREE.read_text(errors="replace").rstrip("\0") if DEVICE_TREE.exists() else ""


def host_facts() -> HostFacts:
    """What this machine is."""
    cpu, flags = _cpuinfo()
    return HostFacts(
        cpu=cpu or platform.processor() or "unknown",
        arch={"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine()),
        isa=frozenset(flags & ISA_FLAGS),
        cores=os.cpu_count() or 1,
        ram_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB,
    )


def _cpuinfo() -> tuple[str, set[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "", set()
    entries = dict(reversed([(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]))
    return entries.get("model name", ""), set((entries.get("flags") or entries.get("Features") or "").split())


@cache
def onnxruntime_version() -> str:
    """The installed version of onnxruntime, without importing it."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""
