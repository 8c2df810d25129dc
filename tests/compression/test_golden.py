"""A variant's golden set: as many samples as its size allows, four at least, and what is otherwise is said."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.compression.brought_models import classifier, data_file, written

from edgefleet_compression.builds.golden import MAX_GOLDEN_BYTES_0_1, record
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CompressionError, DataError, MeasureError
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.splits.data import check_golden
from edgefleet_compression.samples import ArraySplit
from edgefleet_contract.first_card import CardHints
from edgefleet_contract.variants import GoldenSize
from edgefleet_protocol.answers import unpack_answers
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, Spec
from edgefleet_tasks.tasks.classification import read

SAMPLE_BYTES = 64
KB16 = 16 * 1024
CLASSIFIER = CardHints(task="classification")
Open = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens the small classifier with so many random pictures, and perhaps a change to its graph."""

    def make(val: int = 40, asked: int = 32, change: Callable[[Any], None] = lambda graph: None) -> Source:
        model = onnx.load(written(classifier(), tmp_path))
        change(model.graph)
        onnx.save(model, tmp_path / "model.onnx")
        x = np.random.default_rng(0).integers(0, 256, (val + 8, 1, 8, 8), np.uint8)
        data = data_file(tmp_path, x_calib=x[:4], x_val=x[8:], x_test=x[:8])
        text = card_for_onnx(tmp_path / "model.onnx", data, name="bars", version=1, told=CLASSIFIER)
        (tmp_path / "model.toml").write_text(text.replace(f"samples = {min(val, 32)}", f"samples = {asked}"))
        files = {"model.toml": tmp_path / "model.toml", "model.onnx": tmp_path / "model.onnx", "data.npz": data}
        return open_source(files, Cache(tmp_path / "cache"))

    return make


def recorded(source: Source, encoding_bytes: int = 0) -> Any:
    return record(source.state.path, source, {}, encoding_bytes)


def without_softmax(graph: Any) -> None:
    del graph.node[-1]
    graph.output[0].name = graph.node[-1].output[0]


def test_a_small_model_has_as_many_samples_as_fit_16_kb_and_no_more(opened: Open) -> None:
    source = opened(val=300, asked=300)
    size = recorded(source).size
    assert size.budget_bytes == KB16
    assert 4 < size.samples < 300
    assert KB16 - 2 * (SAMPLE_BYTES + 36) < size.size_bytes <= KB16, "one more would not fit"
    assert size.unlike_asked == (
        f"{size.samples} of 300 golden samples are used: more would take over 16,384 bytes, a tenth of the encoding or "
        "16 KB"
    )


def test_a_large_model_has_as_many_as_fit_a_tenth_of_its_encoding(opened: Open) -> None:
    source = opened(val=300, asked=300)
    size = recorded(source, encoding_bytes=200_000).size
    assert size.budget_bytes == 20_000
    assert 20_000 - 2 * (SAMPLE_BYTES + 36) < size.size_bytes <= 20_000
    assert recorded(source, encoding_bytes=10_000_000).size.samples == 300


def test_the_set_is_the_first_of_val_and_there_is_an_answer_to_each(opened: Open) -> None:
    source = opened()
    found = recorded(source)
    inputs = np.load(io.BytesIO(found.golden))["inputs"]
    np.testing.assert_array_equal(inputs, source.data.read("val").arrays.x[:32])
    answers = unpack_answers(found.answers)
    assert [read(answer).top for answer in answers] == source.logits("val")[:32].argmax(1).tolist()
    assert (found.size.samples, found.size.unlike_asked) == (32, None)
    assert found.size.size_bytes == len(found.golden) + len(found.answers)
    assert recorded(source) == found, "the same every time"


@pytest.mark.parametrize(
    ("val", "asked", "samples", "said"),
    [
        (40, 1, 4, "4 golden samples are used, not 1: a self-test takes no fewer"),
        (10, 32, 10, "10 of 32 golden samples are used: val holds no more"),
        (4, 4, 4, None),
    ],
)
def test_what_a_card_asks_for_and_cannot_have_is_said(
    opened: Open, val: int, asked: int, samples: int, said: str | None
) -> None:
    source = opened(val)
    card = source.card.model_copy(update={"golden": source.card.golden.model_copy(update={"samples": asked})})
    size = recorded(replace(source, card=card)).size
    assert (size.samples, size.unlike_asked) == (samples, said)


def test_four_samples_are_never_too_many_and_their_size_is_said() -> None:
    size = GoldenSize(samples=4, wanted=32, held=40, size_bytes=100_000, budget_bytes=KB16)
    assert size.unlike_asked == (
        "a golden set of 4 samples takes 100,000 bytes with its answers, more than the 16,384 meant for it: "
        "fewer would test too little"
    )


def test_a_model_with_too_few_samples_to_test_with_is_refused_when_it_is_added(opened: Open) -> None:
    with pytest.raises(CompressionError, match="val holds 3 samples: give 4 or more"):
        opened(val=3)
    with pytest.raises(DataError):
        check_golden(ArraySplit(np.zeros((3, 1), np.uint8), None))
    check_golden(ArraySplit(np.zeros((4, 1), np.uint8), None))


def test_whether_answers_are_probabilities_is_found_once_and_they_get_no_second_softmax(opened: Open) -> None:
    for change, outputs in ((without_softmax, LOGITS), (lambda graph: None, PROBABILITIES)):
        source = opened(change=change)
        found = recorded(source)
        assert found.spec == source.spec == Spec(outputs)
        first = source.logits("val")[0]
        if outputs == PROBABILITIES:
            assert read(unpack_answers(found.answers)[0]).probabilities[int(first.argmax())] == pytest.approx(
                first.max(), abs=1e-4
            )
        powers = np.exp(first - first.max())
        np.testing.assert_allclose(found.probabilities[0], powers / powers.sum(), atol=1e-4)


def test_what_agents_of_0_1_do_not_take_has_no_form_for_them(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened()
    found = recorded(source)
    assert found.probabilities is not None
    monkeypatch.setattr("edgefleet_compression.builds.golden.MAX_GOLDEN_BYTES_0_1", len(found.golden) - 1)
    assert recorded(source).probabilities is None
    monkeypatch.setattr("edgefleet_compression.builds.golden.MAX_GOLDEN_BYTES_0_1", MAX_GOLDEN_BYTES_0_1)
    most = len(json.dumps(found.probabilities))
    monkeypatch.setattr("edgefleet_compression.builds.golden.MAX_MANIFEST_BYTES", most)
    assert recorded(source) == found
    monkeypatch.setattr("edgefleet_compression.builds.golden.MAX_MANIFEST_BYTES", most - 1)
    assert recorded(source).probabilities is None


def test_answers_that_are_not_finite_are_refused_in_our_words(opened: Open, tmp_path: Path) -> None:
    source = opened()
    model = onnx.load(source.state.path)
    graph = model.graph
    for name in ("below zero", "of what is below zero"):
        graph.node.append(onnx.helper.make_node("Log", [graph.node[-1].output[0]], [name]))
    graph.output[0].name = graph.node[-1].output[0]
    onnx.save(model, tmp_path / "log.onnx")
    with pytest.raises(MeasureError, match=r"golden set: output .* is not finite"):
        record(tmp_path / "log.onnx", source, {}, 0)
