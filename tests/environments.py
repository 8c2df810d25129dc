"""Virtual environments with a wheel of ours."""

import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def environment_with(wheel: Path, folder: Path) -> Path:
    """Make an environment whose edgefleet is the wheel's; everything else is what these tests run with.

    Returns:
        The folder of its programs.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    programs = folder / "bin"
    install = [*PIP, "--python", programs / "python", "install", "--quiet", "--no-deps", wheel]
    subprocess.run(install, check=True, timeout=120)
    shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    shared |= {entry for entry in sys.path if "site-packages" in entry}
    # A .pth file adds folders, and does not read the .pth files in them, so no editable install comes along.
    (_purelib(programs / "python") / "shared.pth").write_text("\n".join(sorted(shared)))
    # The broker is a program of a shared package.
    broker = Path(sysconfig.get_path("scripts")) / "nats-server"
    if broker.exists():
        (programs / broker.name).symlink_to(broker)
    return programs


def bundle_installed(folder: Path, python: Path, arch: str, *build_options: str) -> Path:
    """Make a bundle and install it by its own instruction, without a network.

    Args:
        folder: a new one for all of this.
        python: the interpreter that takes it.
        arch: of that interpreter.
        build_options: what else `scripts/build` is told.

    Returns:
        The folder of the new environment's programs.
    """
    build = [ROOT / "scripts" / "build", "--bundle", arch, "--out", folder, *build_options]
    subprocess.run(build, check=True, timeout=600)
    (archive,) = folder.glob(f"edgefleet-*-{arch}.tar")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    environment = folder / "venv"
    subprocess.run([python, "-m", "venv", environment], check=True, timeout=600)
    told = (folder / archive.stem / "INSTALL.md").read_text().splitlines()
    (install,) = (line for line in told if "pip install" in line)
    command = shlex.split(install.replace("/opt/edgefleet", str(environment)))
    assert "--no-index" in command
    subprocess.run(command, check=True, timeout=900, env=bare_environment(), cwd=folder)
    return environment / "bin"


def _purelib(python: Path) -> Path:
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())


def bare_environment() -> dict[str, str]:
    """This process's variables without those that bring code or packages from elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "EDGEFLEET_"))}
    return {**own, "PIP_CONFIG_FILE": os.devnull}
