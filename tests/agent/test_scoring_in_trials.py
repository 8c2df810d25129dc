"""Workers that die of labels in a trial: that decides nothing of a variant that answers well, and hides no crash."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from tests.agent.test_worker import TENSORS, tensor_bytes

from edgefleet_agent.answering import Answering, Trouble
from edgefleet_agent.errors import WorkerDied
from edgefleet_agent.placed import Placed
from edgefleet_agent.worker_handle import Worker


class _DeathWhileScoring:
    """Sees to it that a worker dies of labels: it is stopped as they come, and killed once they are on their way."""

    def __init__(self, placed: Placed) -> None:
        answer = placed.ask(TENSORS, tensor_bytes())
        self.answers, self.scorer = placed.worker.counted(answer).answers, placed.scorer

    def of(self, answering: Answering, worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (worker.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(WorkerDied):
            answering.score(self.scorer, self.answers, [0])
        killer.join()


def test_in_a_trial_labels_are_scored_by_the_old_worker_whose_death_says_nothing(place: Callable[..., Placed]) -> None:
    answering = Answering(lambda trouble: pytest.fail(str(trouble)))
    old, new = place(seed=0), place(seed=1)
    answering.serve(old)
    answering.begin_trial(new)
    death, pid = _DeathWhileScoring(new), new.worker.pid
    for _ in range(2):
        death.of(answering, old.worker)
        answering.check()
        assert answering.ask(TENSORS, tensor_bytes())[1] is new and new.worker.pid == pid
        assert answering.score(death.scorer, death.answers, [0]) in ([0.0], [1.0])


def test_without_an_old_worker_one_death_while_scoring_is_forgiven_and_no_more(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering, new = Answering(troubles.append), place(seed=1)
    answering.begin_trial(new)
    death = _DeathWhileScoring(new)
    death.of(answering, new.worker)
    answering.check()
    assert answering.ask(TENSORS, tensor_bytes())[1] is new and not troubles
    death.of(answering, new.worker)
    answering.check()
    assert [(t.slot, t.reason) for t in troubles] == [(new.slot, "worker_crashed")]


def test_a_death_before_labels_came_is_not_forgiven(place: Callable[..., Placed]) -> None:
    troubles: list[Trouble] = []
    answering, new = Answering(troubles.append), place(seed=1)
    answering.begin_trial(new)
    death, process = _DeathWhileScoring(new), new.worker
    os.kill(process.pid, signal.SIGKILL)
    while process.alive:
        time.sleep(0.01)
    with pytest.raises(WorkerDied):
        answering.score(death.scorer, death.answers, [0])
    answering.check()
    assert [(t.slot, t.reason) for t in troubles] == [(new.slot, "worker_crashed")]
