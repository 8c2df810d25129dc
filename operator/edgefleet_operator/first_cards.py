"""Lays out a model's folder: the file, and a first model.toml that nobody's changes are lost for."""

import shutil
from pathlib import Path

from edgefleet_contract.card import CARD_FILE
from edgefleet_contract.errors import FileRefused
from edgefleet_contract.first_card import FirstCard
from edgefleet_contract.formats import refuse_unwritable_name
from edgefleet_operator.api.uploads import sha256_of
from edgefleet_operator.readers import DATA_FILE, CardReader

SAMPLES = ".npz"


def init_model(
    onnx: Path,
    folder: Path | None,
    reader: CardReader,
    *,
    name: str | None = None,
    task: str | None = None,
    force: bool = False,
) -> tuple[Path, FirstCard]:
    """Write a first card for an ONNX file, and return its folder and what it says.

    A card that this wrote before, and nobody changed since, is written again once samples are there.

    Args:
        onnx: the file.
        folder: the model's folder, into which the file is copied; None means the one that the file is in.
        reader: writes the card.
        name: the model's name; None means the file's.
        task: what it does; None leaves it to file and samples.
        force: whether to replace what is there.

    Raises:
        FileRefused: the file cannot be used, or something is there that would be lost.
    """
    folder = onnx.parent if folder is None else folder
    refuse_unwritable_name(folder)
    _refuse_links_to_nothing(folder, onnx.name)
    reader(onnx, None, name=name, task=task)  # before anything is written
    here = _brought_in(onnx, folder, force)
    data = _samples(folder)
    card, path = reader(here, data, name=name, task=task), folder / CARD_FILE
    if path.exists() and not force:
        before = path.read_bytes()
        unchanged = {card.text.encode(), reader(here, None, name=name, task=task).text.encode() if data else b""}
        if before not in unchanged:
            raise FileRefused(f"{path} is there already: --force writes it anew{_by_hand(before, data)}")
    path.write_text(card.text, encoding="utf-8")
    return folder, card


def _refuse_links_to_nothing(folder: Path, onnx: str) -> None:
    """Else a file would be written where such a link leads, or a link be taken for samples."""
    named = (folder, folder / CARD_FILE, folder / onnx)
    for path in (*named, *sorted(folder.glob(f"*{SAMPLES}"))):
        if path.is_symlink() and not path.exists():
            raise FileRefused(f"{path} is a link to nothing: remove it, or put there what it should lead to")


def _brought_in(onnx: Path, folder: Path, force: bool) -> Path:
    """The file in the model's folder."""
    if onnx.resolve().parent == folder.resolve():
        return onnx
    folder.mkdir(parents=True, exist_ok=True)
    here = folder / onnx.name
    if here.exists() and sha256_of(here) != sha256_of(onnx):
        if not force:
            raise FileRefused(f"{here} is another file: --force replaces it")
        here.unlink()
    if not here.exists():
        shutil.copyfile(onnx, here)
    return here


def _samples(folder: Path) -> Path | None:
    """The samples in a model's folder: `data.npz`, or the only npz."""
    if (usual := folder / DATA_FILE).is_file():
        return usual
    found = sorted(path for path in folder.iterdir() if path.suffix == SAMPLES)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise FileRefused(f"{folder} has {names}: call the one with the model's samples {DATA_FILE}")
    return found[0] if found else None


def _by_hand(before: bytes, data: Path | None) -> str:
    """How to complete a changed card by hand, if that is what is left to do."""
    if data is None or b"\n[data]" in before:
        return ""
    return f', or add the lines [data], file = "{data.name}" and sha256 = "{sha256_of(data)}" to it'


def read_labels(path: Path) -> tuple[str, ...]:
    """The names of classes in a file of text, one a line; blank lines at the end are none.

    Raises:
        FileRefused: there is no such file, or it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    except OSError as error:
        raise FileRefused(f"{path} cannot be read ({error.strerror}): give a file with a class's name a line") from None
    except UnicodeDecodeError:
        raise FileRefused(f"{path} is not UTF-8: save it as UTF-8 text, a class's name a line") from None
    return tuple(line.strip() for line in lines)
