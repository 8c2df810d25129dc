"""A bundle: one tar with edgefleet's wheel and all wheels of a device's base install, to install without a network."""

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distribution.build import ROOT, run
from distribution.errors import DistributionError
from distribution.target import Target
from distribution.wheels import Wheel, missing, wheels_in

CONSTRAINTS = ROOT / "constraints.txt"
INSTRUCTION = Path(__file__).with_name("INSTALL.md")
DEPLOYED = (ROOT / "deploy" / "agent.toml", ROOT / "deploy" / "systemd" / "edgefleet-agent.service")
"""What docs/agent.md says to copy to a device that runs the agent as a service."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, and the wheels in it."""

    path: Path
    sizes_bytes: dict[str, int]


def bundle(own: Wheel, wanted: Sequence[Target], chosen: Sequence[Requirement], out: Path) -> Bundle:
    """Collect the wheels of a base install into one tar.

    Args:
        own: edgefleet's wheel.
        wanted: the targets of the bundle; at least one, all with one architecture.
        chosen: the caller's requirements, which override constraints.txt.
        out: the folder to write the tar to.

    Raises:
        DistributionError: the registry has no compatible set of wheels for a target.
    """
    name = f"{own.name}-{own.version}-{wanted[0].arch}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        shutil.copy(own.path, folder)
        pins = Path(scratch) / "constraints.txt"
        pins.write_text("\n".join(constraints(CONSTRAINTS.read_text(), chosen)))
        for target in wanted:
            _collect(own, target, chosen, pins, folder)
        sizes = {wheel.path.name: wheel.size_bytes for wheel in wheels_in(folder)}
        (folder / INSTRUCTION.name).write_text(_instruction(name, wanted))
        for file in DEPLOYED:
            shutil.copy(file, folder)
        path = out / f"{name}.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(folder, name, filter=_of_nobody)
    return Bundle(path, sizes)


def constraints(text: str, chosen: Sequence[Requirement]) -> list[str]:
    """The lines of a constraints file, without those for projects that `chosen` names."""
    named = {canonicalize_name(one.name) for one in chosen}
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and canonicalize_name(Requirement(line).name) not in named]


def _collect(own: Wheel, target: Target, chosen: Sequence[Requirement], pins: Path, folder: Path) -> None:
    # pip evaluates markers for the Python it runs on, not for --python-version. So edgefleet's own markers are
    # evaluated here, and what those of dependencies add is looked up after each download.
    wanted = [*own.requirements(target), *chosen]
    while wanted:
        _download(wanted, target, pins, folder)
        still = missing(wheels_in(folder), target, own)
        if {str(one) for one in still} & {str(one) for one in wanted}:
            raise DistributionError(f"pip did not download {', '.join(map(str, still))} for {target}")
        wanted = still


def _download(wanted: Sequence[Requirement], target: Target, pins: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--progress-bar=off"]
    command += [f"--dest={folder}", f"--constraint={pins}", *target.pip_options, *(str(one) for one in wanted)]
    advice = "name other versions as requirements, for example 'onnxruntime==1.23.2'"
    run(command, f"no wheels for {target} satisfy constraints.txt: {advice}; pip said")


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _instruction(name: str, wanted: Sequence[Target]) -> str:
    pythons = " or ".join(target.python for target in wanted)
    return INSTRUCTION.read_text().format(name=name, arch=wanted[0].arch, pythons=pythons)
