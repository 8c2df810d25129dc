"""The examples that the demo can show: a model's folder, with a note on how its further versions are made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefleet_contract.card import ModelCard, load_card
from edgefleet_contract.faults import first_fault
from edgefleet_operator.errors import OperatorError
from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.spelling import nearest
from edgefleet_profiles.toml import parse_toml

DEMO_FILE = "demo.toml"

Class = Annotated[int, Field(ge=0)]


class DemoPart(BaseModel):
    """A part of demo.toml; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoDamage(DemoPart):
    """Which classes the damaged version swaps, and where: a layer of the weights, or an output of the ONNX file."""

    at: str
    swap: list[tuple[Class, Class]]


class DemoVersions(DemoPart):
    """What demo.toml says: the file of the last version, how the one before is damaged, and how many variants differ.

    `damaged_recipes` are those that the damaged version is built by, which only a few devices get.
    """

    finetuned: str
    damage: DemoDamage
    damaged_recipes: list[str]
    different_variants: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class DemoExample:
    """An example's folder, with its card and its further versions."""

    folder: Path
    card: ModelCard
    versions: DemoVersions

    @property
    def name(self) -> str:
        """The model's."""
        return self.card.name

    @property
    def model_file(self) -> Path:
        """The file that further versions replace."""
        file = self.card.onnx or self.card.weights
        assert file is not None  # each door has one
        return self.folder / file.file


def find_example(examples: Path, name: str) -> DemoExample:
    """The example of a folder.

    Raises:
        OperatorError: there is none of this name, or its demo.toml is wrong.
        CardError: its card is, or a file is missing.
    """
    folder = examples / name
    if not (folder / DEMO_FILE).is_file():
        known = sorted(path.parent.name for path in examples.glob(f"*/{DEMO_FILE}"))
        advice = nearest(name, known) if known else "run this in a clone, or give --examples DIR"
        raise OperatorError(f"no example '{name[:60]}' at {examples}: {advice}")
    try:
        versions = DemoVersions.model_validate(parse_toml((folder / DEMO_FILE).read_text(encoding="utf-8")))
    except (NotToml, UnicodeDecodeError) as error:
        raise OperatorError(f"{folder / DEMO_FILE} is not TOML ({error}): correct it") from None
    except ValidationError as error:
        raise OperatorError(f"{folder / DEMO_FILE}: {first_fault(error.errors(), of=DemoVersions)}") from None
    if not (folder / versions.finetuned).is_file():
        raise OperatorError(f"{folder / versions.finetuned} does not exist: make it as the example's README says")
    return DemoExample(folder, load_card(folder), versions)
