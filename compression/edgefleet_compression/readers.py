"""Files of the operator's machine as the API takes them: the entry points of `edgefleet.readers`."""

from pathlib import Path

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.door.first_card import first_card
from edgefleet_compression.models.door.one_file import in_one_file
from edgefleet_compression.models.door.onnx_card import card_for_onnx, refuse_unfit
from edgefleet_compression.packing.listing import listed
from edgefleet_compression.packing.pack import pack
from edgefleet_compression.packing.single_samples import SingleSamplePacker
from edgefleet_compression.packing.splitting import SplitPlan
from edgefleet_compression.recipes.recipe_file import read_recipe
from edgefleet_contract.errors import ContractError, FileRefused
from edgefleet_contract.first_card import CardHints, FirstCard
from edgefleet_contract.recipes import RecipeTable


def onnx(onnx: Path, data: Path, *, name: str | None, version: int, hints: CardHints) -> str:
    """The text of a model.toml for an ONNX file and its samples, as `card_for_onnx` makes it.

    Raises:
        FileRefused: the file or the data cannot be taken; one line says why.
    """
    try:
        return card_for_onnx(onnx, data, name=name, version=version, told=hints)
    except (CompressionError, ContractError) as error:
        raise FileRefused(str(error)) from None


def whole(onnx: Path, folder: Path) -> Path:
    """A model as one file of tensors, as `in_one_file` makes it.

    Raises:
        FileRefused: the file cannot be taken; one line says why.
    """
    try:
        refuse_unfit(onnx, None)
        return in_one_file(onnx, folder)
    except (CompressionError, ContractError) as error:
        raise FileRefused(str(error)) from None


def card(onnx: Path, data: Path | None, *, name: str | None, task: str | None = None) -> FirstCard:
    """A first model.toml for an ONNX file, and for its samples if there are any, as `first_card` writes it.

    Raises:
        FileRefused: the file or the data cannot be taken; one line says why.
    """
    try:
        return first_card(onnx, data, name=name, task=task)
    except (CompressionError, ContractError) as error:
        raise FileRefused(str(error)) from None


def samples(folder: Path, out: Path) -> None:
    """Pack a folder of npz files, one a sample, as `edgefleet data npz` does.

    Raises:
        FileRefused: one cannot be read, or they are unlike each other; one line names it.
    """
    try:
        pack(SingleSamplePacker(listed(folder)), out, SplitPlan())
    except CompressionError as error:
        raise FileRefused(str(error)) from None


def recipe(path: Path) -> RecipeTable:
    """The recipe of a file: every step is known, and gets what it takes.

    Raises:
        FileRefused: it is wrong; one line says where.
    """
    try:
        return RecipeTable.model_validate(read_recipe(path).model_dump(mode="json"))
    except CompressionError as error:
        raise FileRefused(str(error)) from None
