"""Figures of tasks against plain computations of what the literature defines, and by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.worlds import detection, embedding, multilabel, regression, segmentation, sequence, takes

from edgefleet_protocol.signature import Tensor
from edgefleet_protocol.spec import (
    CENTRE,
    CORNER_SIZE,
    CORNERS,
    CORNERS_Y_FIRST,
    LOGITS,
    PROBABILITIES,
    BoxReading,
    OutputColumns,
    Spec,
    TokenReading,
)
from edgefleet_tasks.boxes import Boxes, f1, matched, overlaps, soft_f1
from edgefleet_tasks.editing import edits
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.registry import task_named

TOKENS = st.lists(st.integers(0, 4), max_size=80)


def table_distance(a: list[int], b: list[int]) -> int:
    """Wagner and Fischer 1974: the whole table."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y)))
        rows.append(row)
    return rows[-1][-1]


@settings(max_examples=300, deadline=None)
@given(TOKENS, TOKENS)
def test_the_edit_distance_is_that_of_the_whole_table(a: list[int], b: list[int]) -> None:
    assert edits(a, b) == table_distance(a, b) == edits(b, a)


@settings(max_examples=100, deadline=None)
@given(TOKENS, TOKENS)
def test_sequences_score_1_less_the_token_error_rate(a: list[int], b: list[int]) -> None:
    task, spec = task_named("sequence"), Spec("tokens", width=5)
    one, other = (task.reduce([np.array([row], np.int64).reshape(1, -1)], spec)[0] for row in (a, b))
    distance = table_distance(a, b)
    assert task.agree(one, other, spec) == pytest.approx(1 - distance / max(len(a), len(b), 1))
    wanted = 1 - min(1, distance / max(len(b), 1)) if a or b else 1
    assert task.score(one, task.label(b, spec), spec) == pytest.approx(wanted)


def test_the_token_error_rate_is_all_changes_for_all_tokens() -> None:
    task, spec = task_named("sequence"), Spec("tokens", width=9)
    answers = [task.reduce([np.array([row])], spec)[0] for row in ([1, 2, 3, 4], [5, 5], [7])]
    labels = [task.label(raw, spec) for raw in ([1, 2, 4], [5, 6], [])]
    assert task.headline(answers, labels, spec).value == pytest.approx((1 + 1 + 1) / 5)


def test_retrieval_looks_at_all_other_samples_however_many_there_are() -> None:
    task, dice = task_named("embedding"), np.random.default_rng(1)
    who = dice.integers(0, 150, 600)
    units = dice.normal(size=(150, 8))[who] + 0.3 * dice.normal(size=(600, 8))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    angles = units @ units.T - 2 * np.eye(600)
    several = np.array([(who == one).sum() > 1 for one in who])
    wanted = (who[angles.argmax(1)] == who)[several].mean()
    answers = task.reduce([units.astype(np.float32)], Spec())
    assert task.headline(answers, who.tolist(), Spec()).value == pytest.approx(wanted, abs=0.005)


def test_ctc_ends_and_padding_are_read_as_the_card_says() -> None:
    task = task_named("sequence")

    def tokens_of(row: list[int], **reading: int) -> list[int]:
        spec = Spec("tokens", width=9, tokens=TokenReading(**reading))
        answer = task.reduce([np.array([row])], spec)[0]
        return next(
            list(guess) for n in range(6) for guess in itertools.product(range(9), repeat=n)
            if task.score(answer, task.label(list(guess), spec), spec) == 1
        )  # fmt: skip

    assert tokens_of([0, 3, 3, 0, 3, 4, 0], blank=0) == [3, 3, 4]
    assert tokens_of([3, 4, 8, 5, 5], end=8) == [3, 4]
    assert tokens_of([3, 1, 1, 4], padding=1) == [3, 4]
    assert tokens_of([3, -1, -1]) == [3]
    logits = np.full((1, 4, 3), -5.0)
    logits[0, [0, 1, 2, 3], [0, 1, 1, 2]] = 5
    spec = task.spec(takes(Tensor("y", "FP32", (None, None, 3))), [[logits]], Spec(tokens=TokenReading(blank=0)))
    assert task.score(task.reduce([logits], spec)[0], task.label([1, 2], spec), spec) == 1


def test_lengths_cut_what_follows() -> None:
    task, spec = task_named("sequence"), Spec("tokens", width=9, tokens=TokenReading(lengths=1))
    a, b = task.reduce([np.array([[1, 2, 3], [1, 2, 3]]), np.array([2, 3])], spec)
    assert task.score(a, task.label([1, 2], spec), spec) == task.score(b, task.label([1, 2, 3], spec), spec) == 1


BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 12), st.integers(0, 12))


def boxes(rows: list[tuple[int, int, int, int]], classes: list[int] | None = None) -> Boxes:
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float64).reshape(-1, 4)
    return Boxes(corners, np.ones(len(rows)), np.array(classes or [0] * len(rows), np.int64))


@settings(max_examples=200, deadline=None)
@given(BOX, BOX)
def test_overlaps_are_those_of_counted_pixels(a: Any, b: Any) -> None:
    masks = []
    for x, y, w, h in (a, b):
        mask = np.zeros((40, 40), bool)
        mask[y : y + h, x : x + w] = True
        masks.append(mask)
    either = (masks[0] | masks[1]).sum()
    expected = (masks[0] & masks[1]).sum() / either if either else 0.0
    assert overlaps(boxes([a]).corners, boxes([b]).corners)[0, 0] == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(st.lists(BOX, max_size=8), st.lists(BOX, max_size=8))
def test_boxes_match_the_same_from_either_side(a: list[Any], b: list[Any]) -> None:
    one, other = boxes(a, [x % 2 for x, *_ in a]), boxes(b, [x % 2 for x, *_ in b])
    assert f1(one, other) == f1(other, one)
    assert soft_f1(one, other) == pytest.approx(soft_f1(other, one))
    assert soft_f1(one, other) <= f1(one, other) or not (a or b)
    pairs = matched(one, other)
    assert len({i for i, *_ in pairs}) == len({j for _, j, _ in pairs}) == len(pairs)


def naive_map(found: list[Boxes], truth: list[Boxes]) -> float:
    """COCO's: by class, by falling score, each takes the best free truth; 101 points of interpolated precision."""
    figures = []
    for k in sorted({int(c) for one in truth for c in one.classes}):
        wanted = sum(int((one.classes == k).sum()) for one in truth)
        rows, taken = [], set()
        ranked = sorted(
            ((float(s), n, i) for n, one in enumerate(found) for i, s in enumerate(one.scores) if one.classes[i] == k),
            key=lambda row: -row[0],
        )
        for _, n, i in ranked:
            free = [
                (float(overlaps(found[n].corners[i : i + 1], truth[n].corners[j : j + 1])[0, 0]), -j)
                for j in range(len(truth[n]))
                if truth[n].classes[j] == k and (n, j) not in taken
            ]
            best, place = max(free, default=(0.0, 0))
            rows.append(best >= 0.5)
            if best >= 0.5:
                taken.add((n, -place))
        right = np.cumsum(rows) if rows else np.zeros(0)
        precision = right / np.arange(1, len(rows) + 1)
        recall = right / wanted
        figures.append(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]))
    return float(np.mean(figures))


@pytest.mark.parametrize("seed", range(6))
def test_mean_average_precision_is_cocos(seed: int) -> None:
    world, dice = detection(), np.random.default_rng(seed)
    moved = world.outputs[0] + dice.normal(size=world.outputs[0].shape) * 14
    scores = dice.uniform(0.06, 1, world.outputs[1].shape).astype("f4")
    classes = np.where(dice.uniform(size=scores.shape) < 0.15, 0, world.outputs[2])
    task, spec = task_named("detection"), world.spec
    assert world.labels
    labels = [task.label(raw, spec) for raw in world.labels]
    answers = task.reduce([moved.astype("f4"), scores, classes], spec)
    found = [
        Boxes(moved[n].astype("f4").astype(np.float64), np.rint(scores[n] * 65535.0) / 65535, classes[n])
        for n in range(len(answers))
    ]
    value = task.headline(answers, labels, spec)
    assert 0.1 < value.value < 0.95
    assert value.value == pytest.approx(naive_map(found, labels), abs=1e-6)
    assert value.low < value.value < value.high


@pytest.mark.parametrize("form", [CORNERS, CORNERS_Y_FIRST, CENTRE, CORNER_SIZE])
@pytest.mark.parametrize("laid", ["separate", "one tensor", "boxes last", "objectness", "logits"])
def test_detectors_of_every_layout_give_the_same_boxes(form: str, laid: str) -> None:
    world, task = detection(), task_named("detection")
    x1, y1, x2, y2 = np.moveaxis(world.outputs[0], -1, 0) / 640
    written = {
        CORNERS: (x1, y1, x2, y2),
        CORNERS_Y_FIRST: (y1, x1, y2, x2),
        CENTRE: ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1),
        CORNER_SIZE: (x1, y1, x2 - x1, y2 - y1),
    }[form]
    placed, scores, classes = np.stack(written, -1).astype("f4"), world.outputs[1], world.outputs[2]
    of_class = np.where(classes[..., None] == np.arange(5), scores[..., None], 0).astype("f4")
    common: dict[str, Any] = {"form": form, "scale_x": 640.0, "scale_y": 640.0}
    match laid:
        case "separate":
            given = [classes + 1, scores, placed]
            places = BoxReading(OutputColumns(2), OutputColumns(1), OutputColumns(0), first_class=1, **common)
        case "one tensor":
            given = [np.concatenate([placed, scores[..., None], classes[..., None]], -1)]
            places = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4, 1), OutputColumns(0, 5, 1), **common)
        case "boxes last":
            given = [np.swapaxes(np.concatenate([placed, of_class], -1), 1, 2)]
            places = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4), boxes_last=True, overlap=0.99, **common)
        case "objectness":
            sure = np.ones_like(of_class) * (of_class > 0)
            given = [np.concatenate([placed, scores[..., None], sure], -1)]
            places = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 5), None, OutputColumns(0, 4, 1), **common)
        case _:
            odds = np.log(np.clip(of_class, 1e-6, 1 - 1e-6) / (1 - np.clip(of_class, 1e-6, 1 - 1e-6)))
            given = [placed, odds.astype("f4")]
            places = BoxReading(OutputColumns(0), OutputColumns(1), **common)
    signature = takes(*(Tensor(f"y{n}", "FP32", (None,) + (None,) * (one.ndim - 1)) for n, one in enumerate(given)))
    spec = task.spec(signature, [given], Spec(boxes=places))
    assert spec.outputs == (LOGITS if laid == "logits" else PROBABILITIES)
    assert world.labels
    labels = [task.label(raw, spec) for raw in world.labels]
    for answer, label, same in zip(task.reduce(given, spec), labels, world.reduced(), strict=True):
        assert task.score(answer, label, spec) == 1
        assert task.agree(answer, same, spec) == 1


def test_of_boxes_that_overlap_only_the_surest_counts_and_only_as_many_as_are_meant() -> None:
    task = task_named("detection")
    corners = np.array([[[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [0, 0, 10, 10]]], "f4")
    scores = np.array([[0.8, 0.9, 0.7, 0.6]], "f4")
    classes = np.array([[1, 1, 1, 2]])
    places = BoxReading(OutputColumns(0), OutputColumns(1), OutputColumns(2), overlap=0.5, counts=3)
    spec = Spec(PROBABILITIES, boxes=places)
    (answer,) = task.reduce([corners, scores, classes, np.array([4])], spec)
    assert task.category(answer, spec) == 3
    (answer,) = task.reduce([corners, scores, classes, np.array([2])], spec)
    assert task.category(answer, spec) == 1
    corners[0, 2] = np.nan  # beyond what is meant
    assert task.reduce([corners, scores, classes, np.array([2])], spec) == [answer]


def test_f1_of_classes_and_the_micro_f1() -> None:
    task, spec = task_named("multilabel"), Spec(PROBABILITIES, width=4, thresholds=(0.5, 0.5, 0.9, 0.1))
    answers = task.reduce([np.array([[0.6, 0.4, 0.8, 0.2], [0.1, 0.1, 0.1, 0.0]])], spec)
    labels = [task.label(raw, spec) for raw in ([0, 1], [])]
    assert [task.score(a, label, spec) for a, label in zip(answers, labels, strict=True)] == [0.5, 1.0]
    assert task.headline(answers, labels, spec).value == 0.5
    assert multilabel().spec.outputs == LOGITS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3))
def test_closeness_is_1_less_the_error_in_scales(numbers: list[float]) -> None:
    task, spec = task_named("regression"), Spec(width=3, scale=(1.0, 10.0, 1e5))
    (answer,) = task.reduce([np.array([numbers])], spec)
    wanted = np.mean([1 - min(1, abs(x - 2) / s) for x, s in zip(numbers, spec.scale, strict=True)])
    assert task.score(answer, task.label([2, 2, 2], spec), spec) == pytest.approx(wanted)


def test_r2_is_1_less_the_unexplained_share() -> None:
    world, task = regression(), task_named("regression")
    truth, found = world.outputs[0].astype(np.float64), world.nudged(world.damaged(world.outputs))[0]
    labels = [task.label(row, world.spec) for row in truth]
    by_number = 1 - ((truth - found) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    answers = task.reduce([found], world.spec)
    assert task.headline(answers, labels, world.spec).value == pytest.approx(by_number.mean(), abs=1e-5)
    with pytest.raises(NotScored, match="labels that differ"):
        task.headline(answers, [labels[0]] * len(answers), world.spec)


def test_retrieval_counts_samples_whose_nearest_neighbour_is_of_their_own() -> None:
    world, task = embedding(), task_named("embedding")
    vectors = world.damaged(world.outputs)[0] + np.random.default_rng(3).normal(size=world.outputs[0].shape) * 2.5
    who = [n % 5 if n < 23 else 99 for n in range(24)]  # the last is alone, and asks nothing
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = []
    for n in range(23):
        others = [(float(units[n] @ units[m]), m) for m in range(24) if m != n]
        hits.append(who[max(others)[1]] == who[n])
    found = task.headline(task.reduce([vectors], world.spec), who, world.spec)
    assert found.value == pytest.approx(np.mean(hits))
    with pytest.raises(NotScored, match="two samples or more of one identity"):
        task.headline(world.reduced(), list(range(24)), world.spec)


def test_miou_is_over_all_pixels_of_a_class_and_skips_what_is_not_labelled() -> None:
    task, spec = task_named("segmentation"), Spec("class_map", width=3)
    a = np.zeros((60, 60), int)
    a[:30] = 1
    b = np.zeros((60, 60), int)
    b[:15] = 1
    b[30:45] = 255
    answers, label = task.reduce([np.stack([a, a])], spec), task.label(b, spec)
    assert task.score(answers[0], label, spec) == pytest.approx((15 / 30 + 15 / 30) / 2)
    other = task.label(np.where(a == 1, 1, 2), spec)
    found = task.headline(answers, [label, other], spec).value
    assert found == pytest.approx(np.mean([15 / (15 + 15 + 30), (15 + 30) / 60, 0.0]))


@pytest.mark.parametrize("layout", ["first", "last", "map", "mask", "mask logits"])
def test_segmenters_of_every_layout_are_read(layout: str) -> None:
    world, task = segmentation(), task_named("segmentation")
    logits = world.outputs[0]
    two = logits[:, :1] - logits[:, 1:2]
    given = {
        "first": logits,
        "last": np.moveaxis(logits, 1, 3),
        "map": logits.argmax(1)[:, None],
        "mask": 1 / (1 + np.exp(-two)),
        "mask logits": two[:, 0],
    }[layout]
    spec = task.spec(takes(Tensor("y", "FP32", (None,) * given.ndim)), [[given]])
    right = (two[:, 0] >= 0).astype(int) if "mask" in layout else logits.argmax(1)
    for answer, label in zip(task.reduce([given], spec), right, strict=True):
        assert task.score(answer, task.label(label, spec), spec) == 1


def test_sequences_that_are_cut_still_tell_what_changed_in_the_middle() -> None:
    world, task = sequence(10_000), task_named("sequence")
    changed = world.outputs[0][:1].copy()
    changed[0, 5000] += 1
    one, other = task.reduce([world.outputs[0][:1]], world.spec)[0], task.reduce([changed], world.spec)[0]
    assert 0.99 < task.agree(one, other, world.spec) < 1


def test_outputs_that_are_no_floats_are_the_same_or_not() -> None:
    task = task_named("outputs")
    a = [np.array([[1, 2, 3, 4]]), np.array([["yes"]], object), np.array([[True]])]
    b = [np.array([[1, 2, 3, 400]]), np.array([["no"]], object), np.array([[True]])]
    signature = takes(*(Tensor(n, "INT64", (None, None)) for n in "abc"))
    spec = task.spec(signature, [a, a])
    one, other = task.reduce(a, spec)[0], task.reduce(b, spec)[0]
    assert task.agree(one, other, spec) == pytest.approx((0.75 + 0 + 1) / 3)
    assert task.agree(one, task.reduce([one[:, :2] if one.shape[1] > 1 else one for one in a], spec)[0], spec) < 0.7


def test_scores_of_fewer_samples_than_boxes_are_refused() -> None:
    world = detection()
    with pytest.raises(ValueError, match=r"output 1 is float32 \[3, 6\]: boxes are numbers"):
        task_named("detection").reduce([world.outputs[0], world.outputs[1][:3], world.outputs[2]], world.spec)


def test_no_boxes_at_all_are_an_answer() -> None:
    task, spec = task_named("detection"), detection().spec
    (answer,) = task.reduce([np.empty((1, 0, 4), "f4"), np.empty((1, 0), "f4"), np.empty((1, 0), np.int64)], spec)
    assert task.score(answer, task.label([], spec), spec) == task.agree(answer, answer, spec) == 1
    assert (task.category(answer, spec), task.stratum(answer, spec)) == (0, 7)
