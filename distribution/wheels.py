"""A folder of wheels: what each wheel requires, and what a target still lacks."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from distribution.target import Target


@dataclass(frozen=True)
class Wheel:
    """One wheel on disk."""

    path: Path

    @cached_property
    def _parsed(self) -> tuple[NormalizedName, Version, frozenset[Tag]]:
        name, version, _, tags = parse_wheel_filename(self.path.name)
        return name, version, tags

    @property
    def name(self) -> NormalizedName:
        """The project's normalized name."""
        return self._parsed[0]

    @property
    def version(self) -> Version:
        """The wheel's version."""
        return self._parsed[1]

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size

    def runs_on(self, target: Target) -> bool:
        """Whether the wheel installs on the target."""
        return not self._parsed[2].isdisjoint(target.tags)

    @cached_property
    def metadata(self) -> Metadata:
        """The wheel's METADATA."""
        with zipfile.ZipFile(self.path) as archive:
            (entry,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Metadata.from_email(archive.read(entry), validate=False)

    def requirements(self, target: Target, extras: Iterable[str] = ()) -> Iterator[Requirement]:
        """What the wheel requires on the target with `extras`; the markers, now evaluated, are removed."""
        for needed in self.metadata.requires_dist or ():
            marker = needed.marker
            if marker is None or any(marker.evaluate({**target.markers, "extra": extra}) for extra in ("", *extras)):
                bare = Requirement(str(needed))
                bare.marker = None
                yield bare


def wheels_in(folder: Path) -> list[Wheel]:
    """The wheels of a folder, by name."""
    return [Wheel(path) for path in sorted(folder.glob("*.whl"))]


def missing(wheels: Sequence[Wheel], target: Target, first: Wheel) -> list[Requirement]:
    """The requirements of `first`, direct and transitive, that no wheel in `wheels` meets on a target."""
    there = [wheel for wheel in wheels if wheel.runs_on(target)]
    lacking: dict[str, Requirement] = {}
    seen: set[str] = set()
    waiting = list(first.requirements(target))
    while waiting:
        needed = waiting.pop()
        if str(needed) in seen:
            continue
        seen.add(str(needed))
        if found := _newest(there, needed):
            waiting += found.requirements(target, needed.extras)
        else:
            lacking[str(needed)] = needed
    return [lacking[name] for name in sorted(lacking)]


def _newest(wheels: Iterable[Wheel], needed: Requirement) -> Wheel | None:
    name = canonicalize_name(needed.name)
    fitting = [w for w in wheels if w.name == name and needed.specifier.contains(w.version, prereleases=True)]
    return max(fitting, key=lambda wheel: wheel.version, default=None)
