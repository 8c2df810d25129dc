"""The list of public models is whole, and what the benchmark makes of samples and answers is right."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.models.catalogue import CATALOGUE
from benchmarks.models.loop_row import LoopRow, StageFailed
from benchmarks.models.public_model import COUNTS, MadeSamples, part_of
from benchmarks.models.reference import nearness
from benchmarks.models.requests import Ranks, requests_of
from benchmarks.models.samples_file import arrays_of, rows_of

from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named

TASKS = {model.task for model in CATALOGUE.values()}


def test_there_are_enough_files_of_enough_tasks() -> None:
    assert len(CATALOGUE) >= 24 and len(TASKS) >= 6
    assert len({(model.package, model.member) for model in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_card_says_the_task_of_the_list_or_nothing_of_it(name: str) -> None:
    model = CATALOGUE[name]
    assert task_named(model.task).name == tomllib.loads(model.card).get("task", model.task)
    assert len(model.package.sha256) == 64


def test_samples_of_every_shape_come_back_as_they_were_made(tmp_path: Path) -> None:
    made = MadeSamples()
    for length in (3, 1, 2):
        values = np.arange(length * 2, dtype=np.int64)
        made.add(
            np.ones((length, 5)),
            same=np.float32(length) * np.ones(4, np.float32),
            long=values,
            any=np.ones((length, length)),
        )
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays_of({"val": made}))
    found = rows_of(tmp_path / "data.npz", "val", ["same", "long", "any", "rate"], 2)
    for name, rows in found.inputs.items():
        assert len(rows) == 2
        for one, wanted in zip(rows, made.inputs[name], strict=False):
            assert isinstance(one, np.ndarray)
            np.testing.assert_array_equal(one, wanted)
    assert found.labels is not None and [label.shape for label in found.labels] == [(3, 5), (1, 5)]


def test_a_sample_of_a_model_with_state_is_asked_step_by_step() -> None:
    samples = MadeSamples()
    samples.add(x=np.zeros((3, 8)), rate=np.array(16_000), voice=np.ones(4))
    asked = list(requests_of(samples, Ranks({"x": 2, "rate": 0, "voice": 2}, {"h": "hn"}), "m"))
    assert [(one.id, one.sequence, one.first, one.last) for one in asked] == [
        ("m-0-0", 1, True, False),
        ("m-0-1", 1, False, False),
        ("m-0-2", 1, False, True),
    ]
    assert {name: value.shape for name, value in asked[0].inputs.items()} == {"x": (1, 8), "rate": (), "voice": (1, 4)}
    whole = MadeSamples()
    whole.add(x=np.zeros((3, 1, 8)))
    assert [one.inputs["x"].shape for one in requests_of(whole, Ranks({"x": 2}, {"h": "hn"}), "m")] == [(1, 8)] * 3


def test_nearness_is_the_agreement_of_the_task_whatever_order_boxes_come_in() -> None:
    signature = Signature((), (Tensor("boxes", "FP32", (1, None, 4)), Tensor("scores", "FP32", (1, None, 1))))
    declared = Spec(boxes=BoxReading(OutputColumns(0), OutputColumns(1)))
    boxes = np.array([[[0, 0, 50, 50], [60, 60, 90, 90]]], np.float32)
    wanted = [[boxes, np.array([[[0.9], [0.8]]], np.float32)]] * 3
    other = [[one[:, ::-1] for one in outputs] for outputs in wanted]

    def near(found: Any) -> float:
        return nearness(found, wanted, task_named("detection"), signature, declared)

    assert near(other) == pytest.approx(1.0)
    assert near([[one[0] + 40, one[1]] for one in wanted]) < 0.5
    with pytest.raises(ValueError, match=r"output 1 is float32 \[1, 1, 1\], and the file gives float32 \[1, 2, 1\]"):
        near([[one[0], one[1][:, :1]] for one in wanted])
    with pytest.raises(ValueError, match="finite"):
        near([[one[0] * np.nan, one[1]] for one in wanted])


def test_a_row_says_where_it_stopped_and_why() -> None:
    row = LoopRow(next(iter(CATALOGUE.values())))
    with row.stage("add"):
        pass
    with pytest.raises(StageFailed), row.stage("compress"):
        raise ValueError("nothing\n fits")
    first, told = row.rows()
    assert (first["add"], first["compress"], first["rollout"]) == ("yes", "no", "")
    assert told["reason"] == "compress: nothing fits" and not row.whole


def test_no_thing_is_in_two_splits() -> None:
    parts = [part_of(range(12), split) for split in COUNTS]
    assert sorted(thing for part in parts for thing in part) == list(range(12)) and min(map(len, parts)) >= 2
