"""The catalogue of hardware, links and regions: the shipped entries, overridden by the operator's own."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from edgefleet_profiles.device_class import instruction_set
from edgefleet_profiles.errors import CatalogueError, NotToml, UnknownName
from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.parts import GENERIC, Entry, Hardware, Link, Region, is_generic
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_profiles.spelling import nearest_entry, nearest_field
from edgefleet_profiles.toml import parse_toml

E = TypeVar("E", bound=Entry)

PARTS = ("hardware", "link", "region")


@dataclass(frozen=True)
class Catalogue:
    """The known kinds of hardware, links and regions, by name."""

    hardware: Mapping[str, Hardware]
    link: Mapping[str, Link]
    region: Mapping[str, Region]

    def profile(self, name: str) -> DeviceProfile:
        """The profile written `region/hardware/link`.

        Raises:
            UnknownName: a part is not in the catalogue; the message suggests similar names.
        """
        parts = name.split("/")
        if len(parts) != 3:
            raise UnknownName(f"'{name}' is not a profile: write region/hardware/link, such as eu/rpi4/lte")
        return DeviceProfile(
            region=look_up(self.region, "region", parts[0]),
            hardware=look_up(self.hardware, "hardware", parts[1]),
            link=look_up(self.link, "link", parts[2]),
        )

    def profiles(self) -> Iterator[DeviceProfile]:
        """Every region x hardware x link, in the order of their names."""
        for _, region in sorted(self.region.items()):
            for _, hardware in sorted(self.hardware.items()):
                for _, link in sorted(self.link.items()):
                    yield DeviceProfile(region=region, hardware=hardware, link=link)

    def board_profiles(self) -> Iterator[DeviceProfile]:
        """The profiles of known boards: those of `profiles` without the generic classes."""
        return (profile for profile in self.profiles() if not is_generic(profile.hardware.name))

    def generic(self, arch: str, isa: Iterable[str]) -> Hardware | None:
        """The generic class of a processor, from its architecture and its /proc/cpuinfo flags."""
        found = self.hardware.get(GENERIC + instruction_set(arch, isa))
        # instruction_set() takes every architecture but aarch64 for x86.
        return found if found and found.arch == arch else None

    def detect(self, device_tree_model: str) -> Hardware | None:
        """The hardware whose `detect` text occurs in /proc/device-tree/model, the longest text first."""
        model = device_tree_model.casefold()
        found = [
            (len(text), name)
            for name, hardware in self.hardware.items()
            for text in hardware.detect
            if text.casefold() in model
        ]
        return self.hardware[max(found)[1]] if found else None


def look_up(entries: Mapping[str, E], part: str, name: str) -> E:
    """The entry with this name.

    Args:
        entries: one of the catalogue's three tables.
        part: what the table holds, for the message: hardware, link or region.
        name: the name to look up.

    Raises:
        UnknownName: no such entry; the message suggests similar names, or lists all of them.
    """
    if entry := entries.get(name):
        return entry
    titles = {one: known.title for one, known in entries.items()}
    raise UnknownName(f"there is no {part} '{name}': {nearest_entry(name, titles)}")


def load_catalogue(operator_dir: Path | None = None) -> Catalogue:
    """Read the shipped catalogue and lay the operator's entries over it, entry by entry.

    Args:
        operator_dir: a folder with any of the subfolders hardware, link and region, each with one NAME.toml
            per entry; None for the shipped entries alone.

    Raises:
        CatalogueError: a file or an entry cannot be used; the message names the file and the field.
    """
    folders: list[Traversable] = [files("edgefleet_profiles") / "data"]
    if operator_dir is not None:
        _refuse_what_is_not_read(operator_dir)
        folders.append(operator_dir)
    return Catalogue(
        hardware=_read_part(folders, "hardware", Hardware),
        link=_read_part(folders, "link", Link),
        region=_read_part(folders, "region", Region),
    )


def _refuse_what_is_not_read(operator_dir: Path) -> None:
    # A folder called `links` would otherwise leave the shipped figures in force without a word.
    if not operator_dir.is_dir():
        raise CatalogueError(f"{operator_dir} is not a folder: create it, or don't configure a catalogue of your own")
    for path in sorted(operator_dir.iterdir()):
        stray = path.is_dir() and path.name not in PARTS and not path.name.startswith(".")
        if stray or path.suffix == ".toml":
            folders = ", ".join(PARTS)
            raise CatalogueError(f"{path} would be ignored: move its entries to one of {folders} in {operator_dir}")


def _read_part(folders: list[Traversable], part: str, kind: type[E]) -> dict[str, E]:
    entries: dict[str, E] = {}
    for folder in folders:
        if not (folder / part).is_dir():
            continue
        for file in sorted((folder / part).iterdir(), key=lambda f: f.name):
            if file.name.endswith(".toml"):
                entry = _read_entry(file, kind)
                entries[entry.name] = entry
    return entries


def _read_entry(file: Traversable, kind: type[E]) -> E:
    name = file.name.removesuffix(".toml")
    try:
        fields: dict[str, Any] = {"name": name} | parse_toml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"{file} cannot be read: {error.strerror}; correct it or move it away") from error
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{file} is not UTF-8: save it as UTF-8 text") from error
    except NotToml as error:
        raise CatalogueError(f"{file} is not TOML: {error}; correct that line") from error
    if fields["name"] != name:
        raise CatalogueError(f"{file}: name is '{fields['name']}': remove it, the file name is the entry's name")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise CatalogueError(f"{file}: {_explain(error, kind)}") from error


def _explain(error: ValidationError, kind: type[Entry]) -> str:
    sentences = []
    for problem in error.errors():
        field = place_of(problem)
        if problem["type"] == "extra_forbidden":
            sentences.append(f"'{field}' is not known here: {nearest_field(kind, problem['loc'])}")
            continue
        # Rules over a whole entry name the fields and the remedy themselves.
        sentences.append(f"{field}: {words_of(problem)}" if field else words_of(problem))
    return "; ".join(sentences)
