"""A first look at a model brought as ONNX, in a process of its own and under limits.

    python -m edgefleet_compression.models.inspection REQUEST

The request is the JSON of an InspectionRequest, the last line of the output that of an InspectionAnswer.

Importing this module brings neither onnx nor onnxruntime, so that the controller and its command line can.
"""

import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgefleet_compression.errors import CompressionError, DataError, GraphError
from edgefleet_compression.models.faults import Faults
from edgefleet_compression.programs import ProgramHangs, output_of
from edgefleet_contract.card import CARD_FILE, ModelCard
from edgefleet_contract.errors import CardError, ContractError
from edgefleet_process.children import run_module

if TYPE_CHECKING:
    from edgefleet_compression.models.brought import Graph

SILENT_S = 120
CPU_S = 90
CPU_S_PER_MB = 0.15
"""Ten times what a large file takes on the measuring host, 7 s for 512 MB."""
MEMORY_BYTES = 4 * 2**30
MEMORY_PER_FILE_BYTE = 8
ANSWERED = 16
"""How many samples of val a model is asked for a first look; all are asked when it is compressed."""


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
    remarks: tuple[str, ...] = ()


class GraphFindings(BaseModel):
    """What a file is, without samples; `classes` is None if that depends on the shape of a sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_name: str
    input_type: str
    sample: tuple[int | None, ...]
    classes: int | None


class InspectionRefused(BaseModel):
    """What is wrong with a file or its data, and what to do, in one line."""

    model_config = ConfigDict(frozen=True)

    sentence: str


class InspectionRequest(BaseModel):
    """A model and its data are to be looked at; `card` says what they must be, None asks only what an ONNX file is.

    Without data, an ONNX file is looked at alone.
    """

    model_config = ConfigDict(frozen=True)

    model: Path
    data: Path | None
    card: ModelCard | None


class InspectionAnswer(BaseModel):
    """What the process that looked has to say, as the last line of its output."""

    model_config = ConfigDict(frozen=True)

    answer: Findings | GraphFindings | InspectionRefused


def inspect_model(model: Path, data: Path, card: ModelCard | None = None) -> Findings:
    """Check a model and its data without loading either into this process.

    Args:
        model: an ONNX file, or the weights of the card's architecture.
        data: the npz.
        card: what they must be; None asks only what an ONNX file and its data are.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    found = _asked(InspectionRequest(model=model, data=data, card=card))
    assert isinstance(found, Findings)  # of a request with data
    return found


def inspect_graph(model: Path) -> GraphFindings:
    """Check an ONNX file without samples, and without loading it into this process.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    found = _asked(InspectionRequest(model=model, data=None, card=None))
    assert isinstance(found, GraphFindings)  # of a request without data
    return found


def _asked(request: InspectionRequest) -> Findings | GraphFindings:
    """What the process that looks has found."""
    command = run_module("edgefleet_compression.models.inspection", json.dumps(request.model_dump(mode="json")))
    size_bytes = request.model.stat().st_size
    try:
        said = output_of(command, SILENT_S + _more_s(size_bytes))
        answer = InspectionAnswer.model_validate_json(said.splitlines()[-1]).answer
    except (ProgramHangs, subprocess.SubprocessError, ValueError, IndexError):
        raise GraphError(
            f"looking at the model took more than {CPU_S + _more_s(size_bytes):.0f} s or "
            f"{_memory(size_bytes) / 2**30:.0f} GB: give a smaller model"
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
            f"{CARD_FILE} gives samples {list(shape)}, the graph takes {shown_sample(sample)}: correct input.shape"
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


def shown_sample(sample: tuple[int | None, ...]) -> str:
    """A sample's shape in words; open sizes are `any`."""
    return f"[{', '.join('any' if size is None else str(size) for size in sample)}]"


def _look_at_graph(onnx: Path) -> GraphFindings:
    """In the process that is under limits: check, and run once if the shape of a sample is known."""
    from edgefleet_compression.models.brought import answered_classes, check_graph

    graph = check_graph(onnx)
    sizes = [size for size in graph.sample if size is not None]
    classes = graph.classes
    if len(sizes) == len(graph.sample):
        classes = answered_classes(onnx, graph, tuple(sizes))
    return GraphFindings(input_name=graph.input_name, input_type=graph.input_type, sample=graph.sample, classes=classes)


def _look(onnx: Path, data: Path, card: ModelCard | None) -> Findings:
    """In the process that is under limits: check, run once, read the splits."""
    from edgefleet_compression.models.brought import answered_classes, check_answers, check_graph
    from edgefleet_compression.models.data import Data, check_arrays, check_beside, check_golden, first_look
    from edgefleet_compression.models.remarks import remarks_on

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
    called = graph.input_name if graph else "x"
    splits = Data(data, shape, classes, name=called, scale=scale, labelled=False)
    val, test = (faults.check(splits.split, name) if samples else None for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
    faults.check(check_arrays, data, (called,))
    if samples:
        faults.check(check_beside, splits)
    faults.refuse()
    assert graph and samples and classes and val and test  # or there was a fault
    shown = 1 / 255 if card is None and (samples[1], graph.input_type) == ("uint8", "float32") else scale
    answered = check_answers(onnx, val.x[:ANSWERED], shown)
    return Findings(
        input_name=graph.input_name,
        input_type=graph.input_type,
        sample=graph.sample,
        shape=shape,
        classes=classes,
        data_type=samples[1],
        samples=len(val.x),
        labelled=val.y is not None and test.y is not None,
        remarks=remarks_on(val, answered),
    )


def _look_at_module(weights: Path, data: Path, card: ModelCard) -> Findings:
    """In the process that is under limits: build the architecture, run it, read the splits."""
    from edgefleet_compression.models.data import check_arrays, check_beside, check_golden, first_look, open_data
    from edgefleet_compression.models.module_check import check_module, check_module_answers, check_shape
    from edgefleet_compression.models.remarks import remarks_on

    faults = Faults()
    state, samples = faults.check(check_module, card, weights), faults.check(first_look, data)
    if samples and samples[0] != card.input.shape:
        faults.check(check_shape, card, samples[0])  # each split would say the same
        samples = None
    splits = open_data(data, card)
    val, test = (faults.check(splits.split, name) if samples else None for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
    faults.check(check_arrays, data, (card.input.name,))
    if samples:
        faults.check(check_beside, splits)
    faults.refuse()
    assert state and samples and val and test  # or there was a fault
    answered = check_module_answers(state, val.x[:ANSWERED], card.preprocessing.scale)
    return Findings(
        input_name=card.input.name,
        input_type="float32",
        sample=card.input.shape,
        shape=card.input.shape,
        classes=len(card.labels),
        data_type=samples[1],
        samples=len(val.x),
        labelled=True,
        remarks=remarks_on(val, answered),
    )


def _fit_each_other(graph: "Graph", shape: tuple[int, ...], data_type: str) -> None:
    if not fits(shape, graph.sample):
        raise DataError(
            f"the samples are {list(shape)}, the graph takes {shown_sample(graph.sample)}: correct one of them"
        )
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


def _looked(request: InspectionRequest) -> Findings | GraphFindings | InspectionRefused:
    _limit(request.model.stat().st_size)
    try:
        if request.data is None:
            return _look_at_graph(request.model)
        if request.card is not None and request.card.door == "architecture":
            return _look_at_module(request.model, request.data, request.card)
        return _look(request.model, request.data, request.card)
    except (CompressionError, ContractError) as error:
        sentence = " ".join(str(error).split())
    except ModuleNotFoundError as error:
        extra = "compression" if request.card and request.card.door == "architecture" else "onnx"
        sentence = f"'{error.name}' is missing here: pip install 'edgefleet[{extra}]'"
    except MemoryError:
        most_gb = _memory(request.model.stat().st_size) / 2**30
        sentence = f"the model or its data need more than {most_gb:.0f} GB: give smaller ones"
    return InspectionRefused(sentence=sentence)


if __name__ == "__main__":
    found = InspectionAnswer(answer=_looked(InspectionRequest.model_validate_json(sys.argv[1])))
    print(json.dumps(found.model_dump(mode="json")))  # in ASCII, whatever the locale
