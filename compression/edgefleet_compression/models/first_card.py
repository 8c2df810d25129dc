"""A first model.toml for an ONNX file: what can be read from it, and comments on how to fill in the rest."""

import json
import re
from pathlib import Path

from edgefleet_compression.models.inspection import (
    Findings,
    GraphFindings,
    check_card,
    inspect_graph,
    inspect_model,
    shown_sample,
)
from edgefleet_compression.models.onnx_card import DATA_FILE, GOLDEN_SAMPLES, refuse_unfit, slug, usual_scale
from edgefleet_contract.card import parse_card
from edgefleet_contract.errors import CardError
from edgefleet_contract.first_card import FirstCard
from edgefleet_process.reading import digest_of_file
from edgefleet_profiles.names import NAME_PATTERN

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
# max_drop = 0.02
# prefer = "accuracy"
"""


def first_card(onnx: Path, data: Path | None, *, name: str | None) -> FirstCard:
    """Write a card for an ONNX file and, if they are there already, its samples, both beside the card.

    Args:
        onnx: the file.
        data: the npz with its samples; None if there is none yet.
        name: of the model; None takes the file's.

    Raises:
        CompressionError, ContractError: one line that says what is wrong and what to do.
    """
    refuse_unfit(onnx, data)
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise CardError(f"'{name}' is not a name: use lower-case letters, digits, '-' and '_', at most 64")
    found = inspect_graph(onnx) if data is None else inspect_model(onnx, data)
    given = slug(onnx.stem) if name is None else name
    shape = found.shape if isinstance(found, Findings) else known_shape(found.sample)
    parts = [
        f'name = {json.dumps(given)}\nversion = 1\ntask = "classification"\ndoor = "onnx"\n',
        _labels(found.classes),
        f'[onnx]\nfile = {json.dumps(onnx.name)}\nsha256 = "{digest_of_file(onnx)}"\n',
        _data(data),
        _input(found, shape),
        _preprocessing(found),
        _golden(found),
        _CONSTRAINTS,
    ]
    text = _HEAD + "\n".join(parts)
    missing: tuple[str, ...] = ()
    if data is None:
        missing += (f"samples: put {DATA_FILE} beside the card, then run this command again",)
    else:
        check_card(parse_card(text), found.input_name, found.input_type, found.sample, found.classes)
    if shape is None:
        missing += (f"input.shape: the file takes {shown_sample(found.sample)}; samples tell it, or write it",)
    takes = shown_sample(found.sample if shape is None else shape)
    classes = "" if found.classes is None else f", answers {found.classes} classes"
    return FirstCard(text=text, model=f"{given}@1", known=f"takes {found.input_type} {takes}{classes}", missing=missing)


def known_shape(sample: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The shape of one sample, if the graph leaves none of its sizes open."""
    sizes = tuple(size for size in sample if size is not None)
    return sizes if len(sizes) == len(sample) else None


def _labels(classes: int | None) -> str:
    number = "the" if classes is None else f"the {classes:,}"
    return (
        f"# The names of {number} classes, in the order of the model's answers; without them, classes are numbered.\n"
        '# labels = ["first", "second"]\n'
    )


def _data(data: Path | None) -> str:
    if data is not None:
        return f'[data]\nfile = {json.dumps(data.name)}\nsha256 = "{digest_of_file(data)}"\n'
    return f"""\
# Samples: an npz of x_calib, x_val and x_test, and x_train to train, each with its y_*; or of x and y, which are split.
# Put it here as {DATA_FILE} and run `edgefleet model init` again, or write these lines (sha256sum gives the digest).
# [data]
# file = "{DATA_FILE}"
# sha256 = "64 hexadecimal digits"
"""


def _input(found: Findings | GraphFindings, shape: tuple[int, ...] | None) -> str:
    named = f"[input]\nname = {json.dumps(found.input_name)} # it takes {found.input_type}\n"
    if shape is not None:
        return f"{named}shape = {list(shape)} # of one sample, without the batch\n"
    return (
        f"{named}# shape = {shown_sample(found.sample)} # of one sample, without the batch: a number for each 'any'\n"
    )


def _preprocessing(found: Findings | GraphFindings) -> str:
    scale = usual_scale(found.input_type, found.data_type if isinstance(found, Findings) else None)
    if scale is not None:
        return f"{_SCALE}[preprocessing]\nscale = {scale!r}\n"
    return f"{_SCALE}# 1/255 makes 0 to 1 of pixels from 0 to 255; 1.0 leaves them. Default: 1/255.\n" + (
        f"# [preprocessing]\n# scale = {1 / 255!r}\n"
    )


def _golden(found: Findings | GraphFindings) -> str:
    about = f"# How many samples of val a variant may bring for its self-test on devices; default: {GOLDEN_SAMPLES}.\n"
    if isinstance(found, Findings):
        return f"{about}[golden]\nsamples = {min(GOLDEN_SAMPLES, found.samples)}\n"
    return f"{about}# [golden]\n# samples = {GOLDEN_SAMPLES}\n"
