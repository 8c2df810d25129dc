"""What installed packages bring by entry points; one whose files are damaged hides none of the others."""

from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

OURS = "edgefleet"
"""The distribution that this package is part of."""


@dataclass(frozen=True)
class Package:
    """An installed distribution."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Brought:
    """The entries of a group, and what is wrong with the packages whose entries cannot be read."""

    entries: tuple[EntryPoint, ...]
    unreadable: tuple[str, ...] = ()


def brought(group: str) -> Brought:
    """Find the entries of a group."""
    try:
        return Brought(tuple(entry_points(group=group)))
    except Exception:  # one damaged file fails them all: read one package after the other
        return _one_by_one(group)


def _one_by_one(group: str) -> Brought:
    seen: set[str] = set()
    entries: list[EntryPoint] = []
    unreadable: list[str] = []
    for package in distributions():
        name = _named(package).name
        if name in seen:  # further up the path lies the one that is imported
            continue
        if name:
            seen.add(name)
        try:
            entries += package.entry_points.select(group=group)
        except Exception as error:
            which = name or f"a package without a name in {package.locate_file('')}"
            unreadable.append(f"the entry points of {which} cannot be read ({said(error)}): repair or uninstall it")
    return Brought(tuple(entries), tuple(unreadable))


def package_of(entry: EntryPoint) -> Package:
    """The package that brings an entry; one that doesn't say its name goes by what the entry refers to."""
    package = _named(entry.dist) if entry.dist else Package("", "")
    return Package(package.name or entry.value, package.version or "unknown")


def is_ours(entry: EntryPoint) -> bool:
    """Whether an entry is of our own distribution."""
    return package_of(entry).name == OURS


def _named(package: Distribution) -> Package:
    """A package by name and version; what its metadata lacks is empty."""
    try:
        return Package(package.metadata["Name"] or "", package.version or "")
    except Exception:  # none, or no text: what is raised differs by version of Python
        return Package("", "")


def said(error: BaseException) -> str:
    """An error on one line, whatever made it."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
