"""Virtual environments with a wheel of ours."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

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


def _purelib(python: Path) -> Path:
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())


def bare_environment() -> dict[str, str]:
    """This process's variables without those that bring code or packages from elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "EDGEFLEET_"))}
    return {**own, "PIP_CONFIG_FILE": os.devnull}
