"""Classification: what is kept of an answer, and that it serves to score and compare it."""

from typing import Any

import numpy as np
import pytest

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, STRATA, Spec
from edgefleet_tasks.tasks.classification import TASK, TOP, probabilities, read

AS_LOGITS, AS_PROBABILITIES = Spec(LOGITS), Spec(PROBABILITIES)


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def logits(samples: int, classes: int, sure: float = 4.0, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(samples, classes)).astype(np.float32) * sure


def gives(*shape: int | None) -> Signature:
    return Signature((Tensor("x", "FP32", (None, 4)),), (Tensor("y", "FP32", shape),))


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_a_reduced_answer_keeps_the_top_classes_and_their_probabilities(classes: int) -> None:
    values = logits(40, classes)
    shares = softmax(values.astype(np.float64))
    for row, answer in zip(shares, TASK.reduce([values], AS_LOGITS), strict=True):
        assert len(answer) <= 34
        found = read(answer)
        assert list(found.probabilities) == np.argsort(-row, kind="stable")[:TOP].tolist()
        assert found.top == row.argmax()
        assert found.probabilities == pytest.approx({c: row[c] for c in found.probabilities}, abs=1e-5)


def test_the_same_outputs_give_the_same_bytes_and_any_batch_does() -> None:
    values = logits(9, 10)
    whole = TASK.reduce([values], AS_LOGITS)
    assert whole == [answer for row in values for answer in TASK.reduce([row[None]], AS_LOGITS)]


def test_probabilities_get_no_second_softmax() -> None:
    values = logits(20, 10)
    given = softmax(values)
    np.testing.assert_array_equal(probabilities(given, AS_PROBABILITIES), given)
    for one, other in zip(TASK.reduce([values], AS_LOGITS), TASK.reduce([given], AS_PROBABILITIES), strict=True):
        assert read(one).probabilities == pytest.approx(read(other).probabilities, abs=2e-5)


@pytest.mark.parametrize(
    ("values", "outputs"),
    [
        (logits(50, 10), LOGITS),
        (softmax(logits(50, 10)), PROBABILITIES),
        (np.rint(softmax(logits(50, 10)) * 255) / 255, PROBABILITIES),  # of an 8-bit file
        (softmax(logits(50, 10)) / 100, LOGITS),
        (np.abs(logits(50, 2)), LOGITS),
        (np.log(softmax(logits(50, 10))), LOGITS),
    ],
)
def test_what_outputs_are_is_decided_from_all_of_val(values: Any, outputs: str) -> None:
    assert TASK.spec(gives(None, 10), [[values]]).outputs == outputs


@pytest.mark.parametrize("sure", [0.001, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("spec", [AS_LOGITS, AS_PROBABILITIES])
def test_answers_divided_by_100_are_seen_however_unsure_they_are(sure: float, classes: int, spec: Spec) -> None:
    values = logits(8, classes, sure)
    values = softmax(values) if spec is AS_PROBABILITIES else values
    recorded = TASK.reduce([values], spec)
    for factor in (0.01, 100):
        found = TASK.compare(TASK.reduce([values * factor], spec), recorded, spec)
        assert found.agreement == 1
        assert found.scaling == pytest.approx(100, rel=1e-3)


def test_a_run_that_tells_nothing_apart_is_scaled_without_end() -> None:
    values, flat = logits(4, 10), np.zeros((4, 10))
    recorded = TASK.reduce([values], AS_LOGITS)
    assert TASK.compare(TASK.reduce([flat], AS_LOGITS), recorded, AS_LOGITS).scaling == 1e9
    assert TASK.compare(TASK.reduce([flat], AS_LOGITS), TASK.reduce([flat], AS_LOGITS), AS_LOGITS).scaling == 1


def test_a_comparison_tells_classes_and_the_largest_difference() -> None:
    recorded = TASK.reduce([np.array([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]])], AS_PROBABILITIES)
    given = TASK.reduce([np.array([[0.66, 0.34], [0.24, 0.76], [0.2, 0.8], [0.6, 0.4]])], AS_PROBABILITIES)
    found = TASK.compare(given, recorded, AS_PROBABILITIES)
    assert (found.agreement, found.difference) == (0.75, pytest.approx(0.7, abs=1e-4))
    same = TASK.compare(recorded, recorded, AS_PROBABILITIES)
    assert (same.agreement, same.difference, same.scaling) == (1, 0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_difference_beyond_a_fifth_is_never_lost_among_many_classes(seed: int) -> None:
    dice = np.random.default_rng(seed)
    one, other = dice.dirichlet([0.05] * 200, 30), dice.dirichlet([0.05] * 200, 30)
    pair = [TASK.reduce([values], AS_PROBABILITIES) for values in (one, other)]
    for a, b, p, q in zip(*pair, one, other, strict=True):
        exact = np.abs(p - q).max()
        found = TASK.compare([a], [b], AS_PROBABILITIES).difference
        assert found <= exact + 2e-5
        assert found >= exact - 0.2


def test_a_missing_class_may_have_all_that_the_listed_ones_leave() -> None:
    one = TASK.reduce([np.array([[0.3, 0.3, 0.2, 0.1, 0.05, 0.05, 0]])], AS_PROBABILITIES)
    other = TASK.reduce([np.array([[0.3, 0.3, 0.2, 0.1, 0.04, 0.05, 0.01]])], AS_PROBABILITIES)
    assert TASK.compare(one, other, AS_PROBABILITIES).difference == pytest.approx(0, abs=1e-4)


def test_scores_agreement_and_strata_come_from_the_reduced_form() -> None:
    a, b = TASK.reduce([np.array([[0.1, 0.9], [0.6, 0.4]])], AS_PROBABILITIES)
    assert [TASK.score(a, label, AS_PROBABILITIES) for label in (0, 1)] == [0, 1]
    assert (TASK.agree(a, a, AS_PROBABILITIES), TASK.agree(a, b, AS_PROBABILITIES)) == (1, 0)
    rising = np.array([[p, 1 - p] for p in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)])
    strata = [TASK.stratum(answer, AS_PROBABILITIES) for answer in TASK.reduce([rising], AS_PROBABILITIES)]
    assert strata == sorted(strata)
    assert (strata[1], strata[-1]) == (1, STRATA - 1)
    (unsure,) = TASK.reduce([np.full((1, 10), 0.1)], AS_PROBABILITIES)
    assert TASK.stratum(unsure, AS_PROBABILITIES) == 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[np.nan, 1]]), "not finite"),
        (np.array([[np.inf, 1]]), "not finite"),
        (np.zeros((2, 1)), r"not \[2, 1\]"),
        (np.zeros(3), r"not \[3\]"),
        (np.zeros((2, 3, 4)), r"not \[2, 3, 4\]"),
    ],
)
def test_what_is_no_answer_of_a_classifier_is_refused(values: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TASK.reduce([values], AS_LOGITS)


def test_a_kind_of_outputs_from_a_later_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'odds'"):
        TASK.reduce([np.zeros((1, 2))], Spec("odds"))


GOOD = TASK.reduce([np.array([[3.0, 1.0, 2.0]])], AS_LOGITS)[0]


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\0",
        GOOD[:4],
        GOOD[:-1],
        GOOD + b"\0",
        GOOD[:4] + GOOD[4:] * 2,  # more than five entries
        GOOD[:4] + GOOD[4:10] * 2,  # one class twice
        GOOD[:4] + GOOD[10:16] + GOOD[4:10],  # rising
        b"\x7f\xc0\0\0" + GOOD[4:],  # NaN
        b"\x7f\x80\0\0" + GOOD[4:],  # infinity
        b"\xbf\x80\0\0" + GOOD[4:],  # -1
    ],
)
def test_bytes_that_are_no_reduced_answer_are_refused(hostile: bytes) -> None:
    for use in (
        lambda: TASK.score(hostile, 0, AS_LOGITS),
        lambda: TASK.agree(GOOD, hostile, AS_LOGITS),
        lambda: TASK.stratum(hostile, AS_LOGITS),
        lambda: TASK.compare([GOOD], [hostile], AS_LOGITS),
    ):
        with pytest.raises(MalformedMessage):
            use()


def test_nothing_compared_is_no_comparison() -> None:
    for found, recorded in (([], []), ([GOOD], []), ([], [GOOD]), ([GOOD], [GOOD, GOOD])):
        with pytest.raises(ValueError, match="recorded"):
            TASK.compare(found, recorded, AS_LOGITS)


@pytest.mark.parametrize(
    ("signature", "labels", "told"),
    [
        (gives(None, 3), (), None),
        (gives(None, 3), ("a", "b", "c"), None),
        (gives(None, None), ("a", "b", "c"), None),
        (gives(1, 3), ("a", "b"), "2 labels are named, but the model answers 3 classes"),
        (gives(None, 1), (), r"the model answers [any, 1]"),
        (gives(None, 3, 4), (), r"the model answers [any, 3, 4]"),
        (Signature((), ()), (), "the model answers nothing"),
    ],
)
def test_a_model_fits_by_its_signature(signature: Signature, labels: tuple[str, ...], told: str | None) -> None:
    refusal = TASK.fits(signature, Spec(names=labels))
    assert refusal is None if told is None else refusal and told in refusal.sentence
