"""edgefleet's wheel and sdist, built with PyPA's build: the sdist from this folder, the wheel from that sdist."""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from distribution.errors import DistributionError
from distribution.wheels import Wheel, wheels_in

ROOT = Path(__file__).parents[1]
TOLD_LINES = 15


@dataclass(frozen=True)
class Built:
    """What was built."""

    wheel: Wheel
    sdist: Path


def build(out: Path) -> Built:
    """Build the wheel and sdist into a folder, replacing those of the same version.

    Raises:
        DistributionError: the build failed; the message ends with its output.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # No isolation: hatchling is already installed, in the version of constraints.txt.
        run([sys.executable, "-m", "build", "--no-isolation", "--outdir", scratch, str(ROOT)], "the build failed")
        (wheel,) = wheels_in(Path(scratch))
        (sdist,) = Path(scratch).glob("*.tar.gz")
        out.mkdir(parents=True, exist_ok=True)
        moved = [Path(shutil.move(path, out / path.name)) for path in (wheel.path, sdist)]
    return Built(Wheel(moved[0]), moved[1])


def needs() -> SpecifierSet:
    """The versions of Python that edgefleet supports, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return SpecifierSet(project["requires-python"])


def run(command: list[str], failed: str) -> None:
    """Run a program, hiding its output unless it fails.

    Raises:
        DistributionError: `failed`, followed by the end of the output.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        told = done.stdout.strip().splitlines()[-TOLD_LINES:]
        raise DistributionError("\n  ".join([f"{failed}:", *told]))
