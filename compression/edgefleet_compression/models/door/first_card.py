"""A first model.toml for an ONNX file: what can be read from it, and comments on how to fill in the rest."""

import json
import re
from pathlib import Path

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.measures import measure_named
from edgefleet_compression.models.door.inspection import Findings, GraphFindings, inspect_graph, inspect_model
from edgefleet_compression.models.door.onnx_card import (
    DATA_FILE,
    GOLDEN_SAMPLES,
    file_lines,
    head_lines,
    input_lines,
    refuse_unfit,
    scale_lines,
    slug,
    state_lines,
)
from edgefleet_compression.models.door.shown import numpy_name, shown_sample
from edgefleet_contract.card import parse_card
from edgefleet_contract.errors import CardError, ContractError
from edgefleet_contract.first_card import CardHints, FirstCard
from edgefleet_contract.measures import ACCURACY
from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.registry import task_names

_HEAD = """\
# The card of a model: what it is, the files it comes with, and what its variants must meet.
# docs/models.md explains every field. What the file tells is filled in; lines that begin with '#' are for you.

"""
_SCALE = """\
# What whole-number samples (uint8) are multiplied by for the model; samples of float32 are taken as they are.
"""
_CONSTRAINTS = """\
# What a variant must meet on the profiles that match, and what to prefer among those that do; the last match counts.
# [[constraints]]
# profile = "*/*/*"
"""


def first_card(onnx: Path, data: Path | None, *, name: str | None, task: str | None = None) -> FirstCard:
    """Write a card for an ONNX file and, if they are there already, its samples, both beside the card.

    Args:
        onnx: the file.
        data: the npz with its samples; None if there is none yet.
        name: of the model; None takes the file's.
        task: what it does; None leaves it to file and samples.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    refuse_unfit(onnx, data)
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise CardError(f"'{name}' is not a name: use lower-case letters, digits, '-' and '_', at most 64")
    if task is not None and task not in task_names():
        raise CardError(f"there is no task '{task[:60]}': {', '.join(task_names())}")
    files, told = (file_lines("onnx", onnx.name, onnx), _data(data)), CardHints(task=task)
    found, missing = _looked_at(onnx, data, files, told)
    given = slug(onnx.stem) if name is None else name
    head = head_lines(given, 1, told)
    top = head + ("" if task else _task(found))
    tables = *_inputs(found, data is None), _preprocessing(found), _golden(found)
    text = _HEAD + "\n".join((top, _labels(_classes(found)), *files, *tables))
    text += f"\n{_CONSTRAINTS}{_asked(found)}"
    if data is not None:
        parse_card(text)
    return FirstCard(text=text, model=f"{given}@1", known=_known(found, task), missing=missing)


def _looked_at(
    onnx: Path, data: Path | None, files: tuple[str, str], told: CardHints
) -> tuple[Findings | GraphFindings, tuple[str, ...]]:
    """What a file and its samples are, and what the card does not say yet."""
    if data is None:
        return inspect_graph(onnx), (f"samples: put {DATA_FILE} beside the card, then run this command again",)
    try:
        return inspect_model(onnx, data, parse_card("\n".join((head_lines("model", 1, told), *files)))), ()
    except (CompressionError, ContractError) as error:  # the card is where much of this is put right
        return inspect_graph(onnx), (f"what the card does not say yet: {error}",)


def _asked(found: Findings | GraphFindings) -> str:
    """What to ask of variants, as comments: of the score, if there will be one, else of agreement."""
    measure = measure_named(found.reading.task) if isinstance(found, Findings) else ACCURACY
    if isinstance(found, Findings) and not (found.labelled and measure.scored):
        return '# max_disagreement = 0.02\n# prefer = "agreement"\n'
    return f'# max_drop = 0.02\n# prefer = "{"accuracy" if measure.is_accuracy else "score"}"\n'


def _signature(found: Findings | GraphFindings) -> Signature:
    return found.reading.signature if isinstance(found, Findings) else found.signature


def _classes(found: Findings | GraphFindings) -> int | None:
    """How many numbers an answer is, if it is one row of them."""
    if isinstance(found, Findings):
        return found.classes
    outputs = found.signature.outputs
    size = outputs[0].shape[-1] if len(outputs) == 1 and len(outputs[0].shape) == 2 else None
    return size if isinstance(size, int) else None


def _known(found: Findings | GraphFindings, task: str | None) -> str:
    does = found.reading.task if isinstance(found, Findings) else task or FIRST_TASK
    signature, classes = _signature(found), _classes(found) if does == FIRST_TASK else None
    several = len(signature.inputs) > 1
    takes = [f"'{one.name[:60]}' {_shown(one, found)}" if several else _shown(one, found) for one in signature.inputs]
    answers = [f"'{one.name[:60]}' {numpy_name(one)} {one.shown}" for one in signature.outputs]
    gives = f"{classes} classes" if classes else " and ".join(answers)
    return f"takes {' and '.join(takes)}, answers {gives}"


def _shown(tensor: Tensor, found: Findings | GraphFindings) -> str:
    shape = found.shapes.get(tensor.name) if isinstance(found, Findings) else None
    return f"{numpy_name(tensor)} {shown_sample(tensor) if shape is None else list(shape)}"


def _task(found: Findings | GraphFindings) -> str:
    if isinstance(found, GraphFindings):
        return (
            f'# What it does: {", ".join(task_names())}. Left out, it follows from samples and labels.\n# task = ""\n'
        )
    told = [guess for guess in found.reading.guesses if guess.startswith("the task")]
    comments = "".join(f"# {guess}\n" for guess in told)
    return f"{comments}task = {json.dumps(found.reading.task)}\n"


def _labels(classes: int | None) -> str:
    number = "the" if classes is None else f"the {classes:,}"
    return (
        f"# The names of {number} classes, in the order of the model's answers; without them, classes are numbered.\n"
        '# labels = ["first", "second"]\n'
    )


def _data(data: Path | None) -> str:
    if data is not None:
        return file_lines("data", data.name, data)
    return f"""\
# Samples: an npz of x_calib, x_val and x_test, and x_train to train, each with its y_*; or of x and y, which are split.
# Put it here as {DATA_FILE} and run `edgefleet model init` again, or write these lines (sha256sum gives the digest).
# [data]
# file = "{DATA_FILE}"
# sha256 = "64 hexadecimal digits"
"""


def _inputs(found: Findings | GraphFindings, of_samples: bool) -> list[str]:
    """The tables of the inputs; samples that do not fit the file have other shapes than it says."""
    if isinstance(found, Findings):
        return [*input_lines(found), *state_lines(found)]
    inputs = found.signature.inputs
    table = "[input]" if len(inputs) == 1 else "[[inputs]]"
    lines = []
    for tensor in inputs:
        sizes = [axis for axis in tensor.sample_shape if isinstance(axis, int)]
        shape = f"shape = {sizes} # of one sample, without the batch\n"
        if len(sizes) < len(tensor.sample_shape) or not of_samples:
            shape = f"# shape: {shown_sample(tensor)}, as samples have it\n"
        lines.append(f"{table}\nname = {json.dumps(tensor.name)} # it takes {numpy_name(tensor)}\n{shape}")
    return lines


def _preprocessing(found: Findings | GraphFindings) -> str:
    if isinstance(found, Findings):
        return scale_lines(found.scale) and f"{_SCALE}{scale_lines(found.scale)}"
    if [tensor.datatype for tensor in found.signature.inputs] != ["FP32"]:
        return ""
    return f"{_SCALE}# 1/255 makes 0 to 1 of pixels from 0 to 255; 1.0 leaves them. Default: 1/255.\n" + (
        f"# [preprocessing]\n# scale = {1 / 255!r}\n"
    )


def _golden(found: Findings | GraphFindings) -> str:
    about = f"# How many samples of val a variant may bring for its self-test on devices; default: {GOLDEN_SAMPLES}.\n"
    if isinstance(found, Findings):
        return f"{about}[golden]\nsamples = {min(GOLDEN_SAMPLES, found.samples)}\n"
    return f"{about}# [golden]\n# samples = {GOLDEN_SAMPLES}\n"
