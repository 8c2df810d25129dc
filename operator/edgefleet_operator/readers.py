"""Reads ONNX files and recipes for the API, with functions from the entry point group `edgefleet.readers`.

Reading them needs code from compression, which the operator's side never imports.
"""

from pathlib import Path
from typing import Protocol

from edgefleet_contract.first_card import CardHints, FirstCard
from edgefleet_contract.recipes import RecipeTable
from edgefleet_operator.errors import ReaderMissing
from edgefleet_process.installed import brought, is_ours

GROUP = "edgefleet.readers"
ONNX_FILE, DATA_FILE = "model.onnx", "data.npz"
"""What a card made for an ONNX file and its samples calls them."""


class OnnxReader(Protocol):
    """The reader named `onnx`."""

    def __call__(self, onnx: Path, data: Path, *, name: str | None, version: int, hints: CardHints) -> str:
        """Write the text of a model.toml for an ONNX file and its samples.

        Args:
            onnx: the ONNX file.
            data: the npz file: `x`, or `x_val`, `x_test` and `x_calib`, each optionally with its `y`.
            name: the model's name; None means the file's.
            version: the model's version.
            hints: what else the card is to say.

        Raises:
            FileRefused: the file or the data cannot be used; the message is one line.
        """


class WholeReader(Protocol):
    """The reader named `whole`."""

    def __call__(self, onnx: Path, folder: Path) -> Path:
        """Return the model as one file of tensors: the file itself if it is one, else a new one in `folder`.

        Args:
            onnx: the ONNX file; weights of it may lie in other files of its folder.
            folder: where a new file may be written.

        Raises:
            FileRefused: the file, or one with its weights, cannot be used; the message is one line.
        """


class CardReader(Protocol):
    """The reader named `card`."""

    def __call__(self, onnx: Path, data: Path | None, *, name: str | None, task: str | None = None) -> FirstCard:
        """Write a first model.toml for an ONNX file, and for its samples if there are any.

        Args:
            onnx: the ONNX file.
            data: the npz file; None if there is none yet.
            name: the model's name; None means the file's.
            task: what it does; None leaves it to file and samples.

        Raises:
            FileRefused: the file or the data cannot be used; the message is one line.
        """


class RecipeReader(Protocol):
    """The reader named `recipe`."""

    def __call__(self, path: Path) -> RecipeTable:
        """Read a recipe file, and check that every step is known and gets the input it needs.

        Raises:
            FileRefused: the recipe is wrong; the message says where, in one line.
        """


class SamplesReader(Protocol):
    """The reader named `samples`."""

    def __call__(self, folder: Path, out: Path) -> None:
        """Pack a folder of npz files, one a sample, into one.

        Raises:
            FileRefused: one cannot be read, or they are unlike each other; the message is one line.
        """


def onnx_reader() -> OnnxReader:
    """Load the reader of ONNX files.

    Raises:
        ReaderMissing: none is installed.
    """
    found: OnnxReader = _reader("onnx")
    return found


def whole_reader() -> WholeReader:
    """Load the reader that makes one file of a model.

    Raises:
        ReaderMissing: none is installed.
    """
    found: WholeReader = _reader("whole")
    return found


def card_reader() -> CardReader:
    """Load the reader that writes first cards.

    Raises:
        ReaderMissing: none is installed.
    """
    found: CardReader = _reader("card")
    return found


def samples_reader() -> SamplesReader:
    """Load the reader of single samples.

    Raises:
        ReaderMissing: none is installed.
    """
    found: SamplesReader = _reader("samples")
    return found


def recipe_reader() -> RecipeReader:
    """Load the reader of recipes.

    Raises:
        ReaderMissing: none is installed.
    """
    found: RecipeReader = _reader("recipe")
    return found


def _reader(name: str):  # type: ignore[no-untyped-def]
    try:
        (entry,) = (one for one in brought(GROUP).entries if one.name == name and is_ours(one))
        return entry.load()
    except (ValueError, ImportError, AttributeError) as error:
        raise ReaderMissing(
            f"no reader of {name} files is installed ({error}): pip install 'edgefleet[operator,compression]'"
        ) from None
