"""A first look at a model brought as ONNX, in a process of its own and under limits, and a card made from it.

    python -m edgefleet_compression.models.inspection REQUEST

The request is the JSON of an InspectionRequest, the last line of the output that of an InspectionAnswer.

Importing this module brings neither onnx nor onnxruntime, so that the controller and its command line can.
"""

import json
import math
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgefleet_compression.errors import CompressionError, DataError, GraphError
from edgefleet_compression.models.faults import Faults
from edgefleet_compression.programs import ProgramHangs, output_of
from edgefleet_contract.card import CARD_FILE, SAFE, ModelCard, parse_card
from edgefleet_contract.errors import CardError, ContractError
from edgefleet_contract.formats import refuse_pickles, refuse_pickles_by_name
from edgefleet_process.children import run_module
from edgefleet_process.reading import digest_of_file

if TYPE_CHECKING:
    from edgefleet_compression.models.brought import Graph

ONNX_FILE = "model.onnx"
DATA_FILE = "data.npz"
SILENT_S = 120
CPU_S = 90
CPU_S_PER_MB = 0.15
"""Ten times what a large file takes on the measuring host, 7 s for 512 MB."""
MEMORY_BYTES = 4 * 2**30
MEMORY_PER_FILE_BYTE = 8
ANSWERED = 16
"""How many samples of val a model is asked for a first look; all are asked when it is compressed."""
GOLDEN_SAMPLES = 32
"""How many a new card asks for; each variant has as many of them as its size allows."""


class Findings(BaseModel):
    """What a file and its data are; `classes` is how many the graph answered with, `samples` counts those of val."""

    model_config = ConfigDict(frozen=True)

    input_name: str
    input_type: str
    sample: tuple[int | None, ...]
    shape: tuple[int, ...]
    classes: int
    data_type: str
    samples: int
    labelled: bool


class InspectionRefused(BaseModel):
    """What is wrong with a file or its data, and what to do, in one line."""

    model_config = ConfigDict(frozen=True)

    sentence: str


class InspectionRequest(BaseModel):
    """A model and its data are to be looked at; `card` says what they must be, None asks only what an ONNX file is."""

    model_config = ConfigDict(frozen=True)

    model: Path
    data: Path
    card: ModelCard | None


class InspectionAnswer(BaseModel):
    """What the process that looked has to say, as the last line of its output."""

    model_config = ConfigDict(frozen=True)

    answer: Findings | InspectionRefused


def inspect_model(model: Path, data: Path, card: ModelCard | None = None) -> Findings:
    """Check a model and its data without loading either into this process.

    Args:
        model: an ONNX file, or the weights of the card's architecture.
        data: the npz.
        card: what they must be; None asks only what an ONNX file and its data are.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    request = json.dumps(InspectionRequest(model=model, data=data, card=card).model_dump(mode="json"))
    command = run_module("edgefleet_compression.models.inspection", request)
    try:
        said = output_of(command, SILENT_S + _more_s(model.stat().st_size))
        answer = InspectionAnswer.model_validate_json(said.splitlines()[-1]).answer
    except (ProgramHangs, subprocess.SubprocessError, ValueError, IndexError):
        raise GraphError(
            f"looking at the model took more than {CPU_S + _more_s(model.stat().st_size):.0f} s or "
            f"{_memory(model.stat().st_size) / 2**30:.0f} GB: give a smaller model"
        ) from None
    if isinstance(answer, InspectionRefused):
        raise GraphError(answer.sentence)
    return answer


def check_card(
    card: ModelCard, input_name: str, input_type: str, sample: tuple[int | None, ...], classes: int | None
) -> None:
    """Check that a card describes an ONNX file as it is; `classes` is None if that is not known.

    Raises:
        CardError: it doesn't.
    """
    shape = card.input.shape
    if card.input.name != input_name:
        raise CardError(
            f"{CARD_FILE} names the input '{card.input.name}', the graph '{input_name}': correct input.name"
        )
    if not fits(shape, sample):
        raise CardError(
            f"{CARD_FILE} gives samples {list(shape)}, the graph takes {_shown(sample)}: correct input.shape"
        )
    if card.labels and classes is not None and len(card.labels) != classes:
        raise CardError(
            f"{CARD_FILE} names {len(card.labels)} labels, the model answers {classes} classes: correct labels"
        )
    if input_type == "uint8" and card.preprocessing.scale != 1:
        raise CardError("the graph takes uint8 as it is: set preprocessing.scale to 1")


def fits(shape: tuple[int, ...], sample: tuple[int | None, ...]) -> bool:
    """Whether samples of a shape fit a graph's input, whose open dimensions are None."""
    return len(shape) == len(sample) and all(b in (None, a) for a, b in zip(shape, sample, strict=True))


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
    for part, path in (("onnx", onnx), ("data", data)):
        refuse_pickles_by_name(path.name)
        if path.suffix.lower() != SAFE[part]:
            raise CardError(f"'{path.name}' must end in {SAFE[part]}: convert the file")
        if not path.is_file():
            raise CardError(f"{path} does not exist: give the path of a file")
        refuse_pickles(path.name, path)
    found = inspect_model(onnx, data)
    if scale is None:
        scale = 1 / 255 if (found.data_type, found.input_type) == ("uint8", "float32") else 1.0
    text = _CARD.format(
        name=json.dumps(slug(onnx.stem) if name is None else name),
        version=version,
        onnx_file=ONNX_FILE,
        onnx=digest_of_file(onnx),
        data_file=DATA_FILE,
        data=digest_of_file(data),
        input=json.dumps(found.input_name),
        shape=list(found.shape),
        scale=repr(float(scale)),
        golden=min(GOLDEN_SAMPLES, found.samples),
    )
    check_card(parse_card(text), found.input_name, found.input_type, found.sample, found.classes)
    return text


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


def _shown(sample: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in sample)}]"


def _look(onnx: Path, data: Path, card: ModelCard | None) -> Findings:
    """In the process that is under limits: check, run once, read the splits."""
    from edgefleet_compression.models.brought import answered_classes, check_answers, check_graph
    from edgefleet_compression.models.data import Data, check_golden, first_look

    faults = Faults()
    graph, samples = faults.check(check_graph, onnx), faults.check(first_look, data)
    classes: int | None = None
    scale = card.preprocessing.scale if card else 1.0
    if graph and samples:
        faults.check(_fit_each_other, graph, *samples)
        if fits(samples[0], graph.sample):
            classes = faults.check(answered_classes, onnx, graph, samples[0])
    if graph and card:
        faults.check(check_card, card, graph.input_name, graph.input_type, graph.sample, classes)
    shape = card.input.shape if card else samples[0] if samples else ()
    splits = Data(data, shape, classes, scale=scale, labelled=False)
    val, test = (faults.check(splits.split, name) if samples else None for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
    faults.refuse()
    assert graph and samples and classes and val and test  # or there was a fault
    shown = 1 / 255 if card is None and (samples[1], graph.input_type) == ("uint8", "float32") else scale
    check_answers(onnx, val.x[:ANSWERED], shown)
    return Findings(
        input_name=graph.input_name,
        input_type=graph.input_type,
        sample=graph.sample,
        shape=shape,
        classes=classes,
        data_type=samples[1],
        samples=len(val.x),
        labelled=val.y is not None and test.y is not None,
    )


def _look_at_module(weights: Path, data: Path, card: ModelCard) -> Findings:
    """In the process that is under limits: build the architecture, run it, read the splits."""
    from edgefleet_compression.models.data import check_golden, first_look, open_data
    from edgefleet_compression.models.module_check import check_module, check_module_answers, check_shape

    faults = Faults()
    state, samples = faults.check(check_module, card, weights), faults.check(first_look, data)
    if samples and samples[0] != card.input.shape:
        faults.check(check_shape, card, samples[0])  # each split would say the same
        samples = None
    splits = open_data(data, card)
    val, test = (faults.check(splits.split, name) if samples else None for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
    faults.refuse()
    assert state and samples and val and test  # or there was a fault
    check_module_answers(state, val.x[:ANSWERED], card.preprocessing.scale)
    return Findings(
        input_name=card.input.name,
        input_type="float32",
        sample=card.input.shape,
        shape=card.input.shape,
        classes=len(card.labels),
        data_type=samples[1],
        samples=len(val.x),
        labelled=True,
    )


def _fit_each_other(graph: "Graph", shape: tuple[int, ...], data_type: str) -> None:
    if not fits(shape, graph.sample):
        raise DataError(f"the samples are {list(shape)}, the graph takes {_shown(graph.sample)}: correct one of them")
    if graph.input_type == "uint8" and data_type != "uint8":
        raise DataError(f"the graph takes uint8 and the samples are {data_type}: give them as uint8")


def _limit(file_bytes: int) -> None:
    bound, cpu_s = _memory(file_bytes), CPU_S + math.ceil(_more_s(file_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def _memory(file_bytes: int) -> int:
    return MEMORY_BYTES + MEMORY_PER_FILE_BYTE * file_bytes


def _more_s(file_bytes: int) -> float:
    """How much longer than a small file this one may take, in seconds."""
    return CPU_S_PER_MB * file_bytes / 2**20


def _looked(request: InspectionRequest) -> Findings | InspectionRefused:
    _limit(request.model.stat().st_size)
    try:
        if request.card is not None and request.card.door == "architecture":
            return _look_at_module(request.model, request.data, request.card)
        return _look(request.model, request.data, request.card)
    except (CompressionError, ContractError) as error:
        sentence = " ".join(str(error).split())
    except ModuleNotFoundError as error:
        sentence = f"'{error.name}' is missing: install edgefleet[controller,compression] here"
    except MemoryError:
        most_gb = _memory(request.model.stat().st_size) / 2**30
        sentence = f"the model or its data need more than {most_gb:.0f} GB: give smaller ones"
    return InspectionRefused(sentence=sentence)


if __name__ == "__main__":
    found = InspectionAnswer(answer=_looked(InspectionRequest.model_validate_json(sys.argv[1])))
    print(json.dumps(found.model_dump(mode="json")))  # in ASCII, whatever the locale
