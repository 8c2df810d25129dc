"""What a file really is, whatever its name: formats that run code when loaded are recognized by their bytes.

Nothing is loaded here, and only the first bytes of an archive's members are read.
"""

import ast
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgefleet_contract.errors import CardError

PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pt2", ".pth"})
RUNS_CODE = "loading this format runs code from the file"
INSTEAD = "Save weights as safetensors, the model as ONNX, and data as an npz of plain arrays"

_MAX_MEMBERS = 10_000
_MAX_HEADER_BYTES = 64 * 1024
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_TORCH = re.compile(rb"PK\x03\x04.{26}[^\0]*/data\.pkl", re.DOTALL)
"""The first member of an archive of PyTorch, after the 30 bytes of a zip's local header."""
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
"""The first bytes of a pickle of protocol 2 to 5; older ones are recognized opcode by opcode."""


def refuse_pickles_by_name(name: str) -> None:
    """Refuse a file whose extension belongs to a format that runs code when loaded.

    Raises:
        CardError: the extension is one of these.
    """
    if Path(name).suffix.lower() in PICKLES:
        raise CardError(f"'{name}' is refused: {RUNS_CODE}. {INSTEAD}")


def refuse_unwritable_name(path: Path) -> None:
    """Refuse a file whose path no card and no request can hold.

    Raises:
        CardError: the path is not UTF-8, as names that come from an old archive.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise CardError(f"the name of {path} is not UTF-8: rename it") from None


def refuse_pickles(name: str, path: Path) -> None:
    """Refuse a file with pickled objects, whatever its name.

    Args:
        name: the file's name, for the message.
        path: the file.

    Raises:
        CardError: the file holds pickled objects, or cannot be read.
    """
    refuse_pickles_by_name(name)
    try:
        with path.open("rb") as file:
            found = _found(file)
    except OSError as error:
        raise CardError(f"'{name}' cannot be read: {error.strerror}") from None
    if found:
        raise CardError(f"'{name}' is {found} and is refused: {RUNS_CODE}. {INSTEAD}")


def _found(file: IO[bytes]) -> str | None:
    """What in a file would run code, in words; None if nothing would."""
    head = file.read(_MAX_HEADER_BYTES)
    if (found := runs_code(head)) or not head.startswith(_ZIP):
        return found
    try:
        with zipfile.ZipFile(file) as archive:
            for member, begins in _members(archive):
                if member.rsplit("/")[-1] == "data.pkl" or member.endswith("/code/__torch__.py"):
                    return "a PyTorch archive"
                if _is_pickle(begins) or (begins.startswith(_NPY) and _holds_objects(begins)):
                    return f"an archive with pickled objects in '{member[:100]}'"
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError):
        return None  # a broken archive cannot be loaded; the reader of its format will say so
    return None


def runs_code(head: bytes) -> str | None:
    """What would run code, in words, as far as the beginning of a file tells; None if that tells nothing."""
    if _is_pickle(head):
        return "a pickle"
    if head.startswith(_NPY) and _holds_objects(head):
        return "an array of pickled objects"
    return "a PyTorch archive" if _TORCH.match(head) else None


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """The names of an archive's members, and their first bytes."""
    for member in archive.infolist()[:_MAX_MEMBERS]:
        with archive.open(member) as file:
            yield member.filename, file.read(_MAX_HEADER_BYTES)


def _is_pickle(head: bytes) -> bool:
    if _PICKLE.match(head):
        return True
    try:
        names = [opcode.name for opcode, _, _ in pickletools.genops(head)]
    except Exception:  # pickletools may raise anything: not a pickle
        return False
    return len(names) > 2  # a single full stop is a valid pickle, strictly speaking


def _holds_objects(head: bytes) -> bool:
    """Whether the header of an array names an object dtype (numpy.lib.format)."""
    wide = head[6:7] >= b"\x02"
    try:
        (length,) = struct.unpack_from("<I" if wide else "<H", head, 8)
        start = 12 if wide else 10
        described = ast.literal_eval(head[start : start + length].decode("latin-1").strip())
        return _names_objects(described["descr"])
    except (struct.error, ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return False  # numpy will refuse it when it is read


def _names_objects(descr: Any) -> bool:
    if isinstance(descr, str):
        return descr.lstrip("|<>=").startswith("O")
    return isinstance(descr, list | tuple) and any(map(_names_objects, descr))
