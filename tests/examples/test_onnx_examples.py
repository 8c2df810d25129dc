"""The examples that come as ONNX files are what their cards and pages say, to the digit."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgefleet_compression.models.splits.column_checks import WantedInput
from edgefleet_compression.models.splits.data import SplitFile
from edgefleet_compression.models.splits.parts import PartReader
from edgefleet_compression.samples import Split
from edgefleet_contract.card import ModelCard, load_card
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.registry import task_named

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = ("model.onnx", "finetuned.onnx")


def splits(name: str, card: ModelCard) -> dict[str, Split]:
    """The committed splits; of sequences an input has the steps before its own shape."""
    steps = ("steps",) if name == "spoken" else ()
    wanted = [
        WantedInput(one.name, ("FP32", "UINT8"), (*steps, *one.shape))
        for one in card.described
        if one.shape is not None
    ]
    file = SplitFile(EXAMPLES / name / card.data.file, PartReader(wanted, labelled=True))
    return {split: file.read(split) for split in ("calib", "val", "test")}


@pytest.mark.parametrize("name", ["garments", "spoken"])
def test_the_committed_splits_have_the_pinned_counts_and_share_no_sample(name: str) -> None:
    card = load_card(EXAMPLES / name)
    found = splits(name, card)
    assert {split: len(one) for split, one in found.items()} == card.pins["committed"]["samples"]
    (column,) = next(iter(found.values())).x.columns
    seen = [{one.x.columns[column].row(row).tobytes() for row in range(len(one))} for one in found.values()]
    assert sum(map(len, seen)) == len(set.union(*seen)) == sum(map(len, found.values()))


def garments(path: Path, card: ModelCard, split: Split) -> tuple[float, float]:
    """The mean F1 of boxes, and mAP at IoU 0.5."""
    session = onnxruntime.InferenceSession(path)
    frames = split.x.columns["frame"].values.astype(np.float32) * np.float32(card.preprocessing.scale)
    outputs = [session.run(None, {"frame": frames[i : i + 50]}) for i in range(0, len(frames), 50)]
    names = tuple(Tensor(one.name, "FP32", tuple(one.shape)) for one in session.get_outputs())
    task, signature = task_named("detection"), Signature((), names)
    spec: Spec = task.spec(signature, outputs, card.answers.declared(card.labels, signature))
    answers = [answer for run in outputs for answer in task.reduce(run, spec)]
    assert split.y is not None
    labels = [task.label(label, spec) for label in split.y]
    scores = [task.score(answer, label, spec) for answer, label in zip(answers, labels, strict=True)]
    return float(np.mean(scores)), task.headline(answers, labels, spec).value


def spoken(path: Path, split: Split) -> tuple[float, float]:
    """The share of steps that are right, and of words whose last step is."""
    session = onnxruntime.InferenceSession(path)
    steps, words = [], []
    for row in range(len(split)):
        state = np.zeros((1, 96), np.float32)
        right = []
        assert split.y is not None
        for features, label in zip(split.x.columns["features"].row(row), split.y[row], strict=True):
            scores, state = session.run(None, {"features": features[None], "state": state})
            right.append(int(scores.argmax()) == label)
        steps.append(float(np.mean(right)))
        words.append(right[-1])
    return float(np.mean(steps)), float(np.mean(words))


@pytest.mark.parametrize("file", FILES)
def test_the_detector_reaches_the_pinned_figures_on_the_committed_scenes(file: str) -> None:
    card = load_card(EXAMPLES / "garments")
    pins: dict[str, Any] = card.pins["committed"][file]
    f1, average = garments(EXAMPLES / "garments" / file, card, splits("garments", card)["test"])
    assert (f1, average) == (pytest.approx(pins["test_f1"], abs=0.005), pytest.approx(pins["test_map"], abs=0.005))


@pytest.mark.parametrize("file", FILES)
def test_the_spotter_reaches_the_pinned_figures_on_the_committed_words(file: str) -> None:
    card = load_card(EXAMPLES / "spoken")
    pins: dict[str, Any] = card.pins["committed"][file]
    steps, words = spoken(EXAMPLES / "spoken" / file, splits("spoken", card)["test"])
    assert (steps, words) == (pytest.approx(pins["test_steps"], abs=0.005), pytest.approx(pins["test_words"], abs=0.01))


@pytest.mark.parametrize("name", ["garments", "spoken"])
def test_the_page_says_the_pinned_figures(name: str) -> None:
    page, pins = (EXAMPLES / name / "README.md").read_text(), load_card(EXAMPLES / name).pins
    for file in FILES:
        figures = (*pins[file].values(), *pins["committed"][file].values())
        told = [f"{figure:.1%}".replace("%", " %") for figure in figures]
        row = next(line for line in page.splitlines() if line.startswith(f"| `{file}` |") and "%" in line)
        assert re.findall(r"\d+\.\d %", row) == told
