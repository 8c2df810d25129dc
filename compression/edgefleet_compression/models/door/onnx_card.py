"""A card made for an ONNX file and its samples, with the defaults for what neither says."""

import json
import re
from pathlib import Path

from edgefleet_compression.models.door.inspection import Findings, inspect_model
from edgefleet_contract.card import SAFE, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_contract.first_card import CardHints
from edgefleet_contract.formats import refuse_pickles, refuse_pickles_by_name, refuse_unwritable_name
from edgefleet_process.reading import digest_of_file

ONNX_FILE = "model.onnx"
DATA_FILE = "data.npz"
GOLDEN_SAMPLES = 32
"""How many a new card asks for; each variant has as many of them as its size allows."""


NOTHING = CardHints()


def card_for_onnx(onnx: Path, data: Path, *, name: str | None, version: int, told: CardHints = NOTHING) -> str:
    """The text of a model.toml for an ONNX file and its data, which it calls ONNX_FILE and DATA_FILE.

    Args:
        onnx: the file.
        data: the npz: `x`, or `x_val`, `x_test` and `x_calib`, each perhaps with its `y`.
        name: of the model; None takes the file's.
        version: of the model.
        told: what else its card is to say.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    refuse_unfit(onnx, data)
    head = head_lines(slug(onnx.stem) if name is None else name, version, told)
    files = file_lines("onnx", ONNX_FILE, onnx), file_lines("data", DATA_FILE, data)
    found = inspect_model(onnx, data, parse_card("\n".join((head, *files, scale_lines(told.scale)))))
    golden = f"[golden]\nsamples = {min(GOLDEN_SAMPLES, found.samples)}\n"
    text = "\n".join((head, *files, *input_lines(found), *state_lines(found), scale_lines(found.scale), golden))
    parse_card(text)
    return text


def head_lines(name: str, version: int, told: CardHints) -> str:
    """The lines of a card before its first table."""
    lines = [f"name = {json.dumps(name)}", f"version = {version}", 'door = "onnx"']
    lines += [] if told.task is None else [f"task = {json.dumps(told.task)}"]
    lines += ['batch = "none"'] if told.batch == "none" else []
    lines += [f"labels = {json.dumps(told.labels)}"] if told.labels else []
    return "".join(f"{line}\n" for line in lines)


def file_lines(part: str, name: str, path: Path) -> str:
    """The table of a file."""
    return f'[{part}]\nfile = {json.dumps(name)}\nsha256 = "{digest_of_file(path)}"\n'


def scale_lines(scale: float | None) -> str:
    """The table of preprocessing; nothing where samples are taken as they are by what is no single float input."""
    return "" if scale is None else f"[preprocessing]\nscale = {float(scale)!r}\n"


def input_lines(found: Findings) -> list[str]:
    """The tables of the inputs, each with the shape of its samples, if that is one."""
    inputs = found.reading.signature.inputs
    table = "[input]" if len(inputs) == 1 else "[[inputs]]"
    tables = []
    for tensor in inputs:
        shape = found.shapes.get(tensor.name)
        lines = [table, f"name = {json.dumps(tensor.name)}", *([] if shape is None else [f"shape = {list(shape)}"])]
        tables.append("".join(f"{line}\n" for line in lines))
    return tables


def state_lines(found: Findings) -> list[str]:
    """The tables of a state that was found."""
    pairs = found.reading.state.pairs if found.reading.state else ()
    return [f"[[state]]\ninput = {json.dumps(one.given)}\noutput = {json.dumps(one.gives)}\n" for one in pairs]


def refuse_unfit(onnx: Path, data: Path | None) -> None:
    """See that files are there, and are what their names say.

    Raises:
        CardError: one is not.
    """
    for part, path in (("onnx", onnx), ("data", data)):
        if path is None:
            continue
        refuse_unwritable_name(path)
        refuse_pickles_by_name(path.name)
        if path.suffix.lower() != SAFE[part]:
            raise CardError(f"'{path.name}' must end in {SAFE[part]}: convert the file")
        if not path.is_file():
            raise CardError(f"{path} does not exist: give the path of a file")
        refuse_pickles(path.name, path)


def slug(stem: str) -> str:
    """A model's name from a file's: MobileNet V2.1 becomes mobilenet-v2-1."""
    found = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-_")[:64]
    if not found:
        raise CardError(f"the file name '{stem}' makes no valid model name: give one")
    return found
