"""What a bundle is made for: an architecture and a version of Python, in the terms of pip and packaging. Pure."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags

from distribution.errors import DistributionError

ARCHITECTURES = ("aarch64", "x86_64")
"""The architectures that onnxruntime has Linux wheels for."""
PYTHONS = ("3.11", "3.13")
"""The Pythons of Debian 12 and 13, and so of Raspberry Pi OS."""
GLIBC_MINORS = range(28, 16, -1)
"""Minor versions of glibc that wheels may need: Debian 10 has 2.28, and the oldest supported Debian is 12."""


@dataclass(frozen=True)
class Target:
    """Linux devices of one architecture with one version of CPython, such as `aarch64` and `3.11`."""

    arch: str
    python: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch}"

    @property
    def platforms(self) -> list[str]:
        """The platforms whose wheels run on the target, newest first."""
        return [*(f"manylinux_2_{minor}_{self.arch}" for minor in GLIBC_MINORS), f"manylinux2014_{self.arch}"]

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """The tags of wheels that run on the target."""
        major, minor = (int(part) for part in self.python.split("."))
        own = cpython_tags((major, minor), platforms=self.platforms)
        return frozenset(chain(own, compatible_tags((major, minor), f"cp{major}{minor}", self.platforms)))

    @property
    def markers(self) -> dict[str, str]:
        """The values for evaluating a requirement's environment markers."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    @property
    def pip_options(self) -> list[str]:
        """The options that make pip choose wheels for the target."""
        platforms = [f"--platform={platform}" for platform in self.platforms]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}", *platforms]


def targets(arch: str, pythons: list[str], needs: SpecifierSet) -> list[Target]:
    """The targets of one bundle.

    Args:
        arch: the devices' architecture.
        pythons: their versions of Python, such as 3.11.
        needs: the versions of Python that edgefleet's wheel supports.

    Raises:
        DistributionError: bundles are not made for this architecture or version.
    """
    if arch not in ARCHITECTURES:
        raise DistributionError(f"there is no bundle for '{arch}': choose one of {', '.join(ARCHITECTURES)}")
    for python in pythons:
        if not re.fullmatch(r"3\.\d{1,3}", python):
            raise DistributionError(f"'{python}' is not a version of Python: write it like {PYTHONS[0]}")
        if not needs.contains(f"{python}.0"):
            raise DistributionError(f"edgefleet needs Python {needs}, so there is no bundle for {python}")
    return [Target(arch, python) for python in dict.fromkeys(pythons)]
