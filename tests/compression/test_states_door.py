"""Models with state from the card to a device: what is refused, in one line each, and what a build makes of them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from benchmarks.sequence_load import stepping
from benchmarks.stateful_model import CARD, CLASSES, GIVEN, GIVES, HIDDEN, STEPS, WIDTH, onnx_bytes, state_shape

from edgefleet_agent.worker_handle import GoldenOrder, Worker, WorkerSpec
from edgefleet_compression.builds.entry_points import build_variant, source_metrics
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, SourceRequest
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.door.brought import open_graph
from edgefleet_compression.models.door.inspection import inspect_model
from edgefleet_compression.models.door.likely_state import likely_pairs, with_likely_state
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.models.door.opening import open_samples
from edgefleet_compression.models.door.taking import check_labels, take
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.splits.data import check_arrays
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_contract.card import ModelCard, parse_card
from edgefleet_contract.errors import ContractError
from edgefleet_contract.first_card import CardHints
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState, StatePair

PAIRS = '[[state]]\ninput = "h"\noutput = "hn"\n'
OLD = {"pairs": PAIRS, "states": "[states]", "carries": "carries = true"}


@dataclass(frozen=True)
class Folder:
    """A model's folder, with another card or other samples."""

    path: Path

    def with_card(self, **changes: str) -> "Folder":
        """Put other words into the card."""
        text = (self.path / "model.toml").read_text()
        for old, new in changes.items():
            text = text.replace(OLD[old], new)
        (self.path / "model.toml").write_text(text)
        return self

    @property
    def card(self) -> ModelCard:
        return parse_card((self.path / "model.toml").read_text())

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.path / name for name in ("model.toml", "model.onnx", "data.npz")}

    def look(self) -> None:
        """What the process that inspects a model does, here."""
        session, data = open_graph(self.path / "model.onnx"), self.path / "data.npz"
        card, _ = with_likely_state(self.card, session.signature, data)
        opened = open_samples(session, card, data)
        check_arrays(data, ["x"])
        val = opened.data.read("val")
        check_labels(take(session, card, opened, val), "y_val", val)


def folder(path: Path, **arrays: Any) -> Folder:
    """A model that is asked step by step; `arrays` take the place of samples and labels."""
    rng, file, data = np.random.default_rng(0), path / "model.onnx", path / "data.npz"
    file.write_bytes(onnx_bytes(1))
    x = {f"x_{one}": rng.normal(size=(8, STEPS, WIDTH)).astype("f4") for one in ("calib", "val", "test")}
    held: dict[str, Any] = {name: array for name, array in (x | arrays).items() if array is not None}
    np.savez(data, **held)
    digests = {"onnx": digest(file.read_bytes()), "data": digest(data.read_bytes())}
    (path / "model.toml").write_text(CARD.format(name="steps", version=1, carries="true", **digests))
    return Folder(path)


def test_steps_of_bytes_are_scaled(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, STEPS, WIDTH), np.uint8)
    made = folder(tmp_path, x_calib=x, x_val=x, x_test=x)
    found = inspect_model(made.files["model.onnx"], made.files["data.npz"], made.card)
    assert (found.reading.scale, found.reading.state is None) == (1 / 255, False)


def test_another_file_is_another_source(tmp_path: Path) -> None:
    made = folder(tmp_path)
    cache, first = Cache(tmp_path / "cache"), onnx_bytes(1)
    before = open_source(made.files, cache).digest
    second = onnx_bytes(2)
    made.files["model.onnx"].write_bytes(second)
    card = made.files["model.toml"].read_text().replace(digest(first), digest(second))
    made.files["model.toml"].write_text(card)
    assert open_source(made.files, cache).digest != before


def alone(x: Any) -> list[Any]:
    """The answers to the steps of some sequences, by onnxruntime alone."""
    step = stepping(onnxruntime.InferenceSession(onnx_bytes(1)), "x", GIVEN, GIVES, state_shape())
    found = []
    for sequence in x:
        state = None
        for sample in sequence:
            state, y = step(state, sample)
            found.append(y)
    return found


def test_the_state_is_found_with_its_sizes_and_hidden(tmp_path: Path) -> None:
    made = folder(tmp_path)
    found = inspect_model(made.files["model.onnx"], made.files["data.npz"], made.card).reading
    assert [(one.name, one.shape) for one in found.signature.inputs] == [("x", (1, WIDTH))]
    assert [(one.name, one.shape) for one in found.signature.outputs] == [("y", (1, CLASSES))]
    assert found.state == SequenceState((StatePair("h", "hn"),), carries=True)
    assert (found.task, found.batches) == ("classification", False)


def test_a_state_that_nobody_named_is_found_and_said(tmp_path: Path) -> None:
    made = folder(tmp_path).with_card(pairs="", states="[golden]", carries="")
    found = inspect_model(made.files["model.onnx"], made.files["data.npz"], made.card).reading
    assert found.state == SequenceState((StatePair("h", "hn"),))
    assert found.guesses[0] == "samples are taken to be sequences: 'h' takes what 'hn' gave the step before"
    files, told = made.files, CardHints(task="classification")
    text = card_for_onnx(files["model.onnx"], files["data.npz"], name="steps", version=1, told=told)
    card = parse_card(text)
    assert PAIRS in text and card.sequences == found.state and card.described[0].shape == (WIDTH,)
    assert inspect_model(files["model.onnx"], files["data.npz"], card).shapes == {"x": (WIDTH,)}


@pytest.mark.parametrize(
    ("outputs", "pairs"),
    [
        ((Tensor("hn", "FP32", (1, None, 4)),), [("h", "hn")]),
        ((Tensor("new_h", "FP32", (None, None, None)),), [("h", "new_h")]),
        ((Tensor("hn", "FP16", (1, 1, 4)),), []),
        ((Tensor("hn", "FP32", (1, 1, 8)),), []),
        ((Tensor("hn", "FP32", (1, 4)),), []),
        ((Tensor("hn", "FP32", (1, 1, 4)), Tensor("h2", "FP32", (1, 1, 4))), []),
        ((Tensor("probability", "FP32", (1, 1, 4)),), []),
    ],
)
def test_an_output_goes_on_with_an_input_of_its_name_and_sizes(outputs: Any, pairs: Any) -> None:
    signature = Signature((Tensor("x", "FP32", (None, 16)), Tensor("h", "FP32", (1, 1, 4))), outputs)
    assert [(pair.input, pair.output) for pair in likely_pairs(signature)] == pairs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildOutcome:
    """A variant in 8 bits of samples of unequal length, each step with a label."""
    lengths = np.array([3, 5, 4, 6, 2, 5, 4, 3], np.int64)
    x = np.random.default_rng(3).normal(size=(lengths.sum(), WIDTH)).astype("f4")
    tops = np.array([y.argmax() for y in alone(np.split(x, np.cumsum(lengths)[:-1]))])
    ragged: dict[str, Any] = {"x_val": None, "x_test": None}
    for split in ("val", "test"):
        ragged |= {f"x_{split}/values": x, f"x_{split}/lengths": lengths}
        ragged |= {f"y_{split}/values": tops, f"y_{split}/lengths": lengths}
    path = tmp_path_factory.mktemp("stateful")
    request = BuildRequest(folder(path, **ragged).files, shipped_recipes()["w8"], "x86-avx2", path / "c", path / "w8")
    made = build_variant(request)
    assert isinstance(made, BuildOutcome), made
    return made


def test_a_variant_is_measured_over_every_step(built: BuildOutcome) -> None:
    metrics = built.metrics
    assert (metrics.test_samples, built.recorded.size.samples) == (8, 8)
    assert metrics.score_test is not None and 0.9 < metrics.score_test <= 1
    assert 0.9 < metrics.agreement <= 1 and metrics.p50_ms is not None
    assert metrics.encoding_bytes is not None and metrics.encoding_bytes < 0.4 * len(onnx_bytes(1))


def test_a_device_steps_through_the_golden_sequences_to_the_same_answers(built: BuildOutcome, tmp_path: Path) -> None:
    assert built.state and built.signature and [one.name for one in built.signature.inputs] == ["x", "h"]
    (tmp_path / "golden.npz").write_bytes(built.recorded.golden)
    with np.load(io.BytesIO(built.recorded.golden)) as golden:
        assert golden["inputs/0/lengths"].sum() == 32
    worker = Worker(WorkerSpec(built.onnx_path, {}, signature=built.signature, state=built.state))
    try:
        header = {"task": built.task, "labels": ["a", "b", "c"], "scale": 1.0, "form": "reduced"}
        header |= {"golden": str(tmp_path / "golden.npz"), "spec": built.recorded.spec.told()}
        reply = worker.self_test(GoldenOrder(header, built.recorded.answers))
    finally:
        worker.kill()
    assert (reply["count"], reply["agreement"]) == (32, 1.0) and reply["difference"] < 1e-3


def test_a_label_of_a_whole_sequence_is_of_its_last_answer(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(8, STEPS, WIDTH)).astype("f4")
    last = np.array([y.argmax() for y in alone(x)[STEPS - 1 :: STEPS]])
    wrong = last.copy()
    wrong[:2] = (wrong[:2] + 1) % 3
    files = folder(tmp_path, x_val=x, y_val=last, x_test=x, y_test=wrong).files
    metrics = source_metrics(SourceRequest(files, tmp_path / "cache"))
    assert (metrics.score_val, metrics.score_test) == (1.0, 0.75)


@pytest.mark.parametrize(
    ("card", "arrays", "told"),
    [
        ({"pairs": ""}, {}, r"\[states\] is about the pairs of \[\[state\]\]"),
        (
            {"pairs": PAIRS.replace('"h"', '"state"')},
            {},
            "state: the state names the input 'state': the model has x, h",
        ),
        (
            {"pairs": PAIRS.replace('"hn"', '"y"')},
            {},
            r"the state 'h' is \[1, batch, 64\] and its next value \[1, 3\]: correct",
        ),
        ({"pairs": PAIRS + PAIRS}, {}, "input 'h' is in two pairs"),
        ({"states": "[states]\nidle_s = 0"}, {}, "idle_s"),
        ({}, {"x_val": np.zeros((8, WIDTH), "f4")}, "no input has steps"),
        (
            {},
            {"x_val": np.zeros((8, 2, 2, 2, WIDTH), "f4")},
            "a sample of 'x' has 4 axes and a step of the model takes",
        ),
        ({}, {"x_val": np.zeros((8, STEPS, 7), "f4")}, rf"x_val is float32 \[8, {STEPS}, 7\]: give"),
        ({}, {"x_val": np.zeros((8, STEPS, WIDTH), "i4")}, "x_val is int32"),
        ({}, {"x_val": np.full((8, STEPS, WIDTH), np.nan, "f4")}, "not finite"),
        ({}, {"x_val/h": np.zeros((8, 1, HIDDEN), "f4")}, "'x_val/h' would be ignored"),
        ({}, {"y_val": np.full((8, STEPS), 7), "y_test": np.zeros((8, STEPS), int)}, "label 0 of y_val: a class is a"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path, card: Any, arrays: Any, told: str) -> None:
    made = folder(tmp_path, **arrays).with_card(**card)
    with pytest.raises((CompressionError, ContractError), match=told) as refused:
        made.look()
    assert "\n" not in str(refused.value)
