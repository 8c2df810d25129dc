"""What makes of a file on this machine what the API takes: functions of the entry point group `edgefleet.readers`.

Reading an ONNX file or a recipe needs code of compression, which the operator's side never imports.
"""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from edgefleet_contract.recipes import RecipeTable
from edgefleet_operator.errors import ReaderMissing

GROUP = "edgefleet.readers"
ONNX_FILE, DATA_FILE = "model.onnx", "data.npz"
"""What the card that is made for an ONNX file and its samples calls them."""


class OnnxReader(Protocol):
    """The reader called `onnx`."""

    def __call__(self, onnx: Path, data: Path, *, name: str | None, version: int, scale: float | None) -> str:
        """The text of a model.toml for an ONNX file and its samples.

        Args:
            onnx: the file.
            data: the npz: `x`, or `x_val`, `x_test` and `x_calib`, each perhaps with its `y`.
            name: of the model; None takes the file's.
            version: of the model.
            scale: what samples are multiplied by; None is 1/255 for uint8 samples of a float32 input, else 1.

        Raises:
            FileRefused: the file or the data cannot be taken; one line says why.
        """


class RecipeReader(Protocol):
    """The reader called `recipe`."""

    def __call__(self, path: Path) -> RecipeTable:
        """The recipe of a file: every step is known, and gets what it takes.

        Raises:
            FileRefused: it is wrong; one line says where.
        """


def onnx_reader() -> OnnxReader:
    """What reads ONNX files here.

    Raises:
        ReaderMissing: nothing does.
    """
    found: OnnxReader = _reader("onnx")
    return found


def recipe_reader() -> RecipeReader:
    """What reads recipes here.

    Raises:
        ReaderMissing: nothing does.
    """
    found: RecipeReader = _reader("recipe")
    return found


def _reader(name: str):  # type: ignore[no-untyped-def]
    try:
        (entry,) = entry_points(group=GROUP, name=name)
        return entry.load()
    except (ValueError, ImportError, AttributeError) as error:
        raise ReaderMissing(
            f"nothing here reads {name} files ({error}): pip install 'edgefleet[operator,compression]'"
        ) from None
