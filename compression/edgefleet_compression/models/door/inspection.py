"""A first look at a model brought as ONNX, in a process of its own and under limits.

    python -m edgefleet_compression.models.door.inspection REQUEST

The request is the JSON of an InspectionRequest, the last line of the output that of an InspectionAnswer.

Importing this module brings neither onnx nor onnxruntime, so that the controller and its command line can.
"""

import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_serializer

from edgefleet_compression.errors import CompressionError, GraphError
from edgefleet_compression.models.door.faults import Faults
from edgefleet_compression.programs import ProgramEnd, ProgramHangs, end_of, output_of
from edgefleet_contract.card import ModelCard
from edgefleet_contract.errors import ContractError
from edgefleet_contract.readings import ModelReading
from edgefleet_process.children import run_module
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.signature import Signature

SILENT_S = 120
CPU_S = 90
CPU_S_PER_MB = 0.15
"""Ten times what a large file takes on the measuring host, 7 s for 512 MB."""
MEMORY_BYTES = 4 * 2**30
MEMORY_PER_FILE_BYTE = 8
ANSWERED = 16
"""How many samples of val a model is asked for a first look; all are asked when it is compressed."""


class Findings(BaseModel):
    """What a model and its data are; `samples` counts those of val.

    `shapes` are those of one sample, by input, where all have one; `classes` is how many an answer has a number for,
    None if it has none.
    """

    model_config = ConfigDict(frozen=True)

    reading: ModelReading
    shapes: dict[str, tuple[int, ...]]
    classes: int | None
    samples: int
    labelled: bool
    remarks: tuple[str, ...] = ()

    @property
    def scale(self) -> float | None:
        """What samples are multiplied by; None where a card does not say it."""
        inputs = [one.datatype for one in self.reading.signature.inputs]
        return self.reading.scale if inputs == ["FP32"] or self.reading.scale != 1 else None


class GraphFindings(BaseModel):
    """What a file takes and gives, without samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signature: Signature

    @field_serializer("signature")
    def _as_told(self, signature: Signature) -> dict[str, Any]:
        return signature.told()


class InspectionRefused(BaseModel):
    """What is wrong with a file or its data, and what to do, in one line."""

    model_config = ConfigDict(frozen=True)

    sentence: str


class InspectionRequest(BaseModel):
    """A model and its data are to be looked at, as its card says it; without them, an ONNX file alone."""

    model_config = ConfigDict(frozen=True)

    model: Path
    data: Path | None
    card: ModelCard | None


class InspectionAnswer(BaseModel):
    """What the process that looked has to say, as the last line of its output."""

    model_config = ConfigDict(frozen=True)

    answer: Findings | GraphFindings | InspectionRefused


def inspect_model(model: Path, data: Path, card: ModelCard) -> Findings:
    """Check a model and its data without loading either into this process.

    Args:
        model: an ONNX file, or the weights of the card's architecture.
        data: the npz.
        card: what they must be.

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
    command = run_module("edgefleet_compression.models.door.inspection", json.dumps(request.model_dump(mode="json")))
    size_bytes = request.model.stat().st_size
    try:
        said = output_of(command, SILENT_S + _more_s(size_bytes))
        answer = InspectionAnswer.model_validate_json(said.splitlines()[-1]).answer
    except subprocess.CalledProcessError as error:
        raise GraphError(_why_it_ended(end_of(error), size_bytes)) from None
    except ProgramHangs:
        raise GraphError(_why_it_ended(ProgramEnd("time", "it did not end"), size_bytes)) from None
    except (ValueError, IndexError):
        raise GraphError("the process that looks at the model said nothing: try again") from None
    if isinstance(answer, InspectionRefused):
        raise GraphError(answer.sentence)
    return answer


def _why_it_ended(end: ProgramEnd, size_bytes: int) -> str:
    """Why the process that looks gave no answer, and what to do."""
    match end.cause:
        case "time":
            most_s = CPU_S + _more_s(size_bytes)
            return f"looking at the model took more than {most_s:.0f} s of CPU time: give a smaller model"
        case "memory":
            return f"the model or its data need more than {_memory(size_bytes) / 2**30:.0f} GB: give smaller ones"
        case "killed":
            return f"looking at the model was cut short: {end.words}; try again, with more memory free"
        case "crash":
            return f"looking at the model failed, {end.words}: onnxruntime cannot run it; export the model anew"
    return f"looking at the model failed ({end.words}): try again"


def _look_at_graph(onnx: Path) -> GraphFindings:
    """In the process that is under limits: check and load."""
    from edgefleet_compression.models.door.brought import check_graph, open_graph

    check_graph(onnx)
    return GraphFindings(signature=open_graph(onnx).signature)


def _look(onnx: Path, data: Path, card: ModelCard) -> Findings:
    """In the process that is under limits: check, read the splits, run some samples."""
    from edgefleet_compression.models.door.brought import check_graph, open_graph
    from edgefleet_compression.models.door.chance import alike, by_chance
    from edgefleet_compression.models.door.composed_check import check_composed
    from edgefleet_compression.models.door.declared_check import check_declared
    from edgefleet_compression.models.door.likely_state import with_likely_state
    from edgefleet_compression.models.door.opening import open_samples
    from edgefleet_compression.models.door.remarks import remarks_on
    from edgefleet_compression.models.door.taking import check_labels, shapes_of, take
    from edgefleet_compression.models.splits.data import SPLITS, check_arrays, check_beside, check_golden

    faults = Faults()
    faults.check(check_graph, onnx)
    faults.refuse()  # what is not sound is not loaded
    session = open_graph(onnx)
    guessed = faults.check(with_likely_state, card, session.signature, data)
    faults.refuse()
    assert guessed is not None  # or there was a fault
    card, guess = guessed
    kept = {pair.input for pair in card.state}
    names = [tensor.name for tensor in session.signature.inputs if tensor.name not in kept]
    opened = faults.check(open_samples, session, card, data)
    faults.check(check_arrays, data, names)
    faults.refuse()
    assert opened is not None  # or there was a fault
    splits = opened.data
    val, test = (faults.check(splits.read, name) for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
        faults.check(check_beside, splits)
    faults.refuse()
    assert val and test  # or there was a fault
    taken = take(session, card, opened, val)
    faults.check(check_declared, card, taken)
    faults.check(check_composed, onnx, card, taken, opened.made, val)
    for name in SPLITS:
        if splits.has(name):
            faults.check(check_labels, taken, f"y_{name}", splits.read(name))
    faults.refuse()
    # What is composed around a network may change what its answers mean: boxes in the application's pixels, say.
    doubts = () if opened.made.is_needed else (alike(taken), by_chance(taken, val))
    remarks = remarks_on(val, taken.task, () if taken.state else taken.top_classes)
    return Findings(
        reading=ModelReading(
            task=taken.task,
            signature=opened.made.signature(taken.visible),
            batches=taken.batches,
            scale=opened.made.scale,
            guesses=(*([guess] if guess else []), *taken.guesses),
            state=taken.state,
        ),
        shapes=shapes_of(taken, val),
        classes=taken.classes,
        samples=len(val),
        labelled=val.y is not None and test.y is not None,
        remarks=(*remarks, *filter(None, doubts)),
    )


def _look_at_module(weights: Path, data: Path, card: ModelCard) -> Findings:
    """In the process that is under limits: build the architecture, run it, read the splits."""
    from edgefleet_compression.models.door.module_check import (
        architecture_signature,
        check_module,
        check_module_answers,
        check_shape,
    )
    from edgefleet_compression.models.door.remarks import remarks_on
    from edgefleet_compression.models.splits.data import (
        architecture_scale,
        check_arrays,
        check_beside,
        check_golden,
        first_look,
        open_data,
    )

    faults = Faults()
    state, samples = faults.check(check_module, card, weights), faults.check(first_look, data)
    if samples and samples[0] != card.sample_shape:
        faults.check(check_shape, card, samples[0])  # each split would say the same
        samples = None
    scale = architecture_scale(card, data) if samples else 1.0
    splits = open_data(data, card, scale)
    val, test = (faults.check(splits.split, name) if samples else None for name in ("val", "test"))
    if val:
        faults.check(check_golden, val)
    given = architecture_signature(card)
    faults.check(check_arrays, data, (given.inputs[0].name,))
    if samples:
        faults.check(check_beside, splits)
    faults.refuse()
    assert state and samples and val and test  # or there was a fault
    answered = check_module_answers(state, val.x[:ANSWERED], scale)
    return Findings(
        reading=ModelReading(task=FIRST_TASK, signature=given, batches=True, scale=scale),
        shapes={given.inputs[0].name: card.sample_shape},
        classes=len(card.labels),
        samples=len(val.x),
        labelled=True,
        remarks=remarks_on(splits.read("val"), FIRST_TASK, answered),
    )


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
        if request.card and request.card.door == "architecture":
            return _look_at_module(request.model, request.data, request.card)
        assert request.card is not None  # comes with the data
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
