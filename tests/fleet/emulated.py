"""A 64-bit ARM Debian made of files alone, whose Python runs here under user-mode emulation.

Nothing is registered with the kernel: the interpreter is replaced by a script that starts it under the emulator, so
that virtual environments, installed programs and child processes all start it the same way.
"""

import os
import subprocess
from pathlib import Path

import pytest
from tests.conftest import program
from tests.once import once

CPU = "cortex-a72"
"""That of a Raspberry Pi 4."""
PACKAGES = ("python3-venv", "libstdc++6", "ca-certificates")
CACHE = "EDGEFLEET_X_TESTS_ARM_ROOT"
"""The variable that names a folder to keep the files in for the next run."""
APT = """
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Debug::NoLocking "true";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""
SCRIPT = """#!/bin/sh
exec {qemu} -cpu {cpu} -L {root} -0 "$0" {real} "$@"
"""


def arm_python(factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The Python of an ARM Debian, the release of this machine's own; skipped where the programs for it are missing."""
    qemu = program("qemu-aarch64-static", "Debian and Ubuntu: apt install qemu-user-static")
    for name in ("apt-get", "dpkg"):
        program(name, "the ARM system is unpacked from Debian's packages: run this test on Debian")
    kept = os.environ.get(CACHE)
    folder = once(factory, worker_id, "arm", _unpack) if kept is None else _kept(Path(kept).resolve())
    return _under(qemu, folder / "root")


def _kept(folder: Path) -> Path:
    if not (folder / "whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(folder)
        (folder / "whole").touch()
    return folder


def _unpack(folder: Path) -> None:
    """Fetch the packages with all that they depend on, as onto an empty system, and unpack them into `root`."""
    for name in ("state/lists/partial", "cache/archives/partial", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    for words in (["update"], ["install", "--download-only", "--yes", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *words], env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, (
            f"apt-get {words[0]} for arm64 (are its packages in this machine's sources?):\n{done.stderr}"
        )
    for archive in sorted((folder / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", archive, folder / "root"], check=True, timeout=120)


def _under(qemu: str, root: Path) -> Path:
    """Put the script in the interpreter's place; gives its path."""
    link = root / "usr" / "bin" / "python3"
    python = link.parent / link.readlink().name
    real = python.with_name(f"{python.name}.real")
    if not real.exists():
        python.rename(real)
    python.write_text(SCRIPT.format(qemu=qemu, cpu=CPU, root=root, real=real))
    python.chmod(0o755)
    return python
