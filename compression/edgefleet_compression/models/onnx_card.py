"""A card made for an ONNX file and its samples, with the defaults for what neither says."""

import json
import re
from pathlib import Path

from edgefleet_compression.models.inspection import check_card, inspect_model
from edgefleet_contract.card import SAFE, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_contract.formats import refuse_pickles, refuse_pickles_by_name, refuse_unwritable_name
from edgefleet_process.reading import digest_of_file

ONNX_FILE = "model.onnx"
DATA_FILE = "data.npz"
GOLDEN_SAMPLES = 32
"""How many a new card asks for; each variant has as many of them as its size allows."""


def card_for_onnx(onnx: Path, data: Path, *, name: str | None, version: int, scale: float | None = None) -> str:
    """The text of a model.toml for an ONNX file and its data, which it calls ONNX_FILE and DATA_FILE.

    Args:
        onnx: the file.
        data: the npz: `x`, or `x_val`, `x_test` and `x_calib`, each perhaps with its `y`.
        name: of the model; None takes the file's.
        version: of the model.
        scale: what samples are multiplied by; None is 1/255 for uint8 samples of a float32 input, else 1.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    refuse_unfit(onnx, data)
    found = inspect_model(onnx, data)
    if scale is None:
        scale = usual_scale(found.input_type, found.data_type)
    text = _CARD.format(
        name=json.dumps(slug(onnx.stem) if name is None else name),
        version=version,
        onnx_file=ONNX_FILE,
        onnx=digest_of_file(onnx),
        data_file=DATA_FILE,
        data=digest_of_file(data),
        input=json.dumps(found.input_name),
        shape=list(found.shape),
        scale=repr(float(1.0 if scale is None else scale)),
        golden=min(GOLDEN_SAMPLES, found.samples),
    )
    check_card(parse_card(text), found.input_name, found.input_type, found.sample, found.classes)
    return text


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


def usual_scale(input_type: str, data_type: str | None) -> float | None:
    """What samples are usually multiplied by; None if that is not known without them.

    Args:
        input_type: what the graph takes.
        data_type: what the samples are; None if there are none yet.
    """
    if input_type == "uint8" or data_type == "float32":
        return 1.0
    return None if data_type is None else 1 / 255


_CARD = """\
name = {name}
version = {version}
task = "classification"
door = "onnx"

[onnx]
file = "{onnx_file}"
sha256 = "{onnx}"

[data]
file = "{data_file}"
sha256 = "{data}"

[input]
name = {input}
shape = {shape}

[preprocessing]
scale = {scale}

[golden]
samples = {golden}
"""


def slug(stem: str) -> str:
    """A model's name from a file's: MobileNet V2.1 becomes mobilenet-v2-1."""
    found = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-_")[:64]
    if not found:
        raise CardError(f"the file name '{stem}' makes no valid model name: give one")
    return found
