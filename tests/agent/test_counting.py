"""What answers count as follows them, and scores them once their label is known."""

from collections.abc import Callable

import numpy as np
from tests.agent.variants import CLASSES

from edgefleet_agent.answering import Placed
from edgefleet_agent.worker_handle import NOT_COUNTED, Unscored

TENSORS = [{"name": "x", "datatype": "FP32", "shape": [1, 16]}]


def tensor_bytes() -> bytes:
    return np.ones(16, np.float32).tobytes()


def test_it_answers_with_logits_and_tells_what_they_count_as(place: Callable[..., Placed]) -> None:
    placed = place()
    answer = placed.ask(TENSORS, tensor_bytes())
    logits = np.frombuffer(answer.data, np.float32)
    counted = placed.worker.counted(answer)
    assert answer.finite and counted.categories == (CLASSES[int(logits.argmax())],)
    assert placed.worker.counted(answer) == NOT_COUNTED, "once"
    right = [float(n == logits.argmax()) for n in range(3)]
    scores = [placed.worker.score(placed.scorer, counted.answers, [label]) for label in CLASSES]
    assert scores == [[score] for score in right]
    assert placed.worker.score(placed.scorer, counted.answers, [3]) == Unscored(
        "a class is a whole number from 0 to 2, or one of cat, dog, bird; not 3", bad=1
    )
    assert placed.worker.score(placed.scorer, counted.answers, []) == Unscored("0 labels for an answer of 1 row")


def test_what_was_not_asked_for_is_in_nobodys_way(place: Callable[..., Placed]) -> None:
    placed = place()
    answers = [placed.ask(TENSORS, tensor_bytes()) for _ in range(3)]
    assert [placed.worker.counted(answer).categories for answer in reversed(answers)] == [("bird",)] * 3
    placed.worker.retire()
    assert placed.worker.counted(answers[0]) == NOT_COUNTED


def test_an_answer_is_counted_though_its_worker_is_retired_at_once(place: Callable[..., Placed]) -> None:
    placed = place()
    answer = placed.ask(TENSORS, tensor_bytes())
    placed.worker.retire()
    assert placed.worker.counted(answer).categories == ("bird",)
