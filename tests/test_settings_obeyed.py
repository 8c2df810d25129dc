"""Every setting is obeyed or refused: each field that somebody may set has a reader, or says that it only describes."""

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any, Literal, get_args, get_origin

import pytest
from mypy.build import BuildSource
from pydantic import BaseModel
from tests.settings_readers import PACKAGES, ROOT, FieldOf, Readers, is_obeyed, readers_of

from edgefleet_agent.settings import AgentSettings, BrokerSettings
from edgefleet_compression import steps
from edgefleet_compression.step_settings import StepConfig
from edgefleet_contract.base import Request
from edgefleet_contract.card import ModelCard
from edgefleet_controller.api.app import create_app
from edgefleet_controller.settings import ControllerSettings
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.description import described_only
from edgefleet_profiles.parts import Entry
from edgefleet_profiles.spelling import models_in

PLANTED = """
from dataclasses import dataclass
from pydantic import BaseModel, field_validator

class Planted(BaseModel):
    obeyed: int = 1
    checked: int = 1
    copied: int = 1
    handed_on: int = 1
    named_as_another: int = 1

    @field_validator("checked")
    @classmethod
    def _is_checked(cls, given: int) -> int:
        return given

    def __post_init__(self) -> None:
        assert self.checked

class Named(BaseModel):
    by_name: int = 1

@dataclass
class Other:
    copied: int = 1
    handed_on: int = 1
    named_as_another: int = 1
"""
USES = """
from edgefleet_planted.parts import Named, Other, Planted

def use(planted: Planted | None, other: Other, named: Named) -> int:
    assert planted
    assert getattr(named, "by_" + "name")
    made = Other(copied=planted.copied, handed_on=planted.handed_on)
    return planted.obeyed + other.named_as_another + made.handed_on
"""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    """Every read in our packages, and in one planted beside them."""
    folder = tmp_path_factory.mktemp("planted") / "edgefleet_planted"
    folder.mkdir()
    sources = []
    for module, text in {"__init__": "", "parts": PLANTED, "uses": USES}.items():
        (folder / f"{module}.py").write_text(text)
        name = "edgefleet_planted" if module == "__init__" else f"edgefleet_planted.{module}"
        sources.append(BuildSource(str(folder / f"{module}.py"), name, None))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT / package).with_suffix("").parts
            sources.append(BuildSource(str(path), ".".join(part for part in parts if part != "__init__"), None))
    return readers_of(sources, ("edgefleet_",), [folder.parent, *(ROOT / package for package in PACKAGES)])


def offspring(kind: type) -> Iterator[type]:
    """A class and all that stand on it."""
    yield kind
    for below in kind.__subclasses__():
        yield from offspring(below)


def settings() -> set[type]:
    """Every type that somebody writes values of, and the types of its parts."""
    create_app  # noqa: B018 - imports every shape that the API takes
    if find_spec("torch"):
        for module in iter_modules(steps.__path__, f"{steps.__name__}."):
            import_module(module.name)
    found: set[type] = {AgentSettings, BrokerSettings, ControllerSettings, ModelCard}
    found |= {*offspring(Entry), *offspring(Request), *offspring(StepConfig)}
    found = {kind for kind in found if kind.__module__.startswith("edgefleet_")}
    while True:
        parts = {part for kind in found for annotation in annotations(kind).values() for part in models_in(annotation)}
        if parts <= found:
            return found
        found |= parts


def annotations(kind: type) -> dict[str, Any]:
    """The fields of a type, each with its annotation."""
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {field.name: field.type for field in dataclasses.fields(kind)}


def unread(kind: type, readers: Readers) -> list[str]:
    """The fields that nothing obeys and that do not say so."""
    described = described_only(kind) if issubclass(kind, BaseModel) else {}
    return [
        f"{kind.__name__}.{name}"
        for name, annotation in annotations(kind).items()
        if name not in described
        # Whatever else is given than the one value is refused.
        and not (get_origin(annotation) is Literal and len(get_args(annotation)) == 1)
        and not any(is_obeyed(readers, field) for field in declared(kind, name))
    ]


def declared(kind: type, name: str) -> list[FieldOf]:
    """A field, with each class that declares it: one with another default is read by way of the class above."""
    owners = [base for base in kind.__mro__ if name in vars(base).get("__annotations__", {})]
    return [FieldOf(f"{owner.__module__}.{owner.__qualname__}", name) for owner in owners]


def test_every_setting_has_a_reader_or_says_that_it_only_describes(readers: Readers) -> None:
    assert [field for kind in sorted(settings(), key=str) for field in unread(kind, readers)] == []


@pytest.mark.parametrize("name", ["checked", "copied", "named_as_another"])
def test_a_field_that_is_only_checked_or_copied_or_has_anothers_name_is_not_obeyed(readers: Readers, name: str) -> None:
    assert not is_obeyed(readers, FieldOf("edgefleet_planted.parts.Planted", name))


@pytest.mark.parametrize("name", ["Planted.obeyed", "Planted.handed_on", "Named.by_name"])
def test_a_field_that_something_reads_is_obeyed_also_through_a_copy(readers: Readers, name: str) -> None:
    owner, _, field = name.partition(".")
    assert is_obeyed(readers, FieldOf(f"edgefleet_planted.parts.{owner}", field))


def test_what_only_describes_is_obeyed_by_nothing_else(readers: Readers) -> None:
    """A mark that is no longer true hides a setting that decides."""
    for kind in (each for each in settings() if issubclass(each, BaseModel)):
        for name in described_only(kind):
            assert not any(is_obeyed(readers, field) for field in declared(kind, name)), (kind, name)


def test_all_kinds_of_settings_are_looked_at() -> None:
    names = {kind.__name__ for kind in settings()}
    parts = {field.name.capitalize() for field in dataclasses.fields(Catalogue)}
    assert parts | {"Window", "Constraints", "FileRef", "Golden", "Gate", "Timers", "RolloutSpec", "NewSearch"} <= names
    assert {"TrainConfig", "Bitwidths"} <= names
