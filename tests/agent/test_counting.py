"""What answers count as follows them, and scores them once their label is known."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from tests.agent.variants import CLASSES

from edgefleet_agent.placed import Placed
from edgefleet_agent.worker_handle import NOT_COUNTED, PendingCount, Unscored

TENSORS = [{"name": "x", "datatype": "FP32", "shape": [1, 16]}]


def tensor_bytes() -> bytes:
    return np.ones(16, np.float32).tobytes()


def test_it_answers_with_logits_and_tells_what_they_count_as(place: Callable[..., Placed]) -> None:
    placed = place()
    answer = placed.ask(TENSORS, tensor_bytes())
    logits = np.frombuffer(answer.data, np.float32)
    counted = placed.worker.counted(answer)
    assert not answer.not_finite and counted.categories == (CLASSES[int(logits.argmax())],)
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
    placed.worker.kill()
    assert placed.worker.counted(answers[0]).categories == ("bird",)


def test_of_a_worker_that_was_killed_what_has_not_come_is_not_waited_for(place: Callable[..., Placed]) -> None:
    placed, began_s = place(), time.monotonic()
    answer = placed.ask(TENSORS, tensor_bytes())
    placed.worker.kill()
    assert placed.worker.counted(answer).categories in ((), ("bird",))  # it may have come with the answer
    assert placed.worker.counted(replace(answer, pending=PendingCount())) == NOT_COUNTED
    assert time.monotonic() - began_s < placed.worker.ask_timeout_s


def test_nobody_waits_for_the_request_of_another_to_be_counted(place: Callable[..., Placed]) -> None:
    placed, rows = place(), 200_000
    answer = placed.ask(TENSORS, tensor_bytes())
    large = [{"name": "x", "datatype": "FP32", "shape": [rows, 16]}]
    other = threading.Thread(target=placed.ask, args=(large, np.ones((rows, 16), np.float32).tobytes()))
    other.start()
    while other.is_alive() and not placed.worker._lock.locked():
        time.sleep(0.0001)
    assert placed.worker.counted(answer).categories == ("bird",)
    assert other.is_alive(), "it was counted before the other was answered"
    other.join()


def test_an_answer_is_counted_though_its_worker_is_retired_at_once(place: Callable[..., Placed]) -> None:
    placed = place()
    answer = placed.ask(TENSORS, tensor_bytes())
    placed.worker.retire()
    assert placed.worker.counted(answer).categories == ("bird",)
