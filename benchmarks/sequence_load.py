"""Many sequences at once, step by step over the endpoint, and whether each answer is that of stepping alone."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUSY_S = 0.05
"""Before a request that could not be answered now is sent again: it has changed nothing."""
StepArray = NDArray[np.float32]
NextStep = Callable[[StepArray | None, StepArray], tuple[StepArray, StepArray]]
"""Takes a state, None for the first, and an input; gives the next state and the answer. By onnxruntime alone."""


@dataclass(frozen=True)
class GivenAnswer:
    """An answer, to which input, and by which variant."""

    x: StepArray
    variant: str
    y: StepArray


@dataclass
class OneSequence:
    """A sequence, and what it was answered; it begins anew once it was ended by another version."""

    id: int
    answers: list[GivenAnswer] = field(default_factory=list)
    before: list[list[GivenAnswer]] = field(default_factory=list)
    """Of the lives that another version ended."""

    @property
    def variants(self) -> list[str]:
        """Those that answered it, in order, without repeats."""
        return [variant for variant, _ in itertools.groupby(one.variant for one in self.answers)]

    def ended(self) -> None:
        """Begin anew."""
        self.before.append(self.answers)
        self.answers = []


class SequenceLoad:
    """Sequences that are asked in turn by so many connections until it is stopped.

    Args:
        address: the endpoint's host and port.
        model: the model's name.
        input_name: what it calls its only input.
        sequences: how many.
        inputs: float32 [some, width]: each sequence takes them in an order of its own, over and over.
        connections: how many ask at once.
    """

    def __init__(
        self, address: str, model: str, input_name: str, sequences: int, inputs: StepArray, connections: int
    ) -> None:
        self._address, self._path, self._input = address, f"/v2/models/{model}/infer", input_name
        self._inputs = inputs
        self.sequences = [OneSequence(number) for number in range(1, sequences + 1)]
        self.retries = 0
        self._stopped = threading.Event()
        self.failed: list[str] = []
        shares = [self.sequences[place::connections] for place in range(connections)]
        self._threads = [threading.Thread(target=self._work, args=(share,), daemon=True) for share in shares]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def least(self) -> int:
        """How many answers the sequence with the fewest has had since it began."""
        if self.failed:
            raise RuntimeError(self.failed[0])
        return min(len(one.answers) for one in self.sequences)

    def stop(self) -> None:
        """Send the last step of each, and end."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self.failed:
            raise RuntimeError(self.failed[0])

    def _work(self, share: Sequence[OneSequence]) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            while share and not self._stopped.is_set():
                for one in share:
                    self._step(connection, one)
            for one in share:
                self._step(connection, one, ends=True)
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def _step(self, connection: http.client.HTTPConnection, one: OneSequence, ends: bool = False) -> None:
        x = self._inputs[(one.id * 7 + len(one.answers)) % len(self._inputs)]
        tensor = {"name": self._input, "datatype": "FP32", "shape": [1, len(x)], "data": x.tolist()}
        while True:
            named = {"sequence_id": one.id, "sequence_start": not one.answers, "sequence_end": ends}
            connection.request("POST", self._path, json.dumps({"inputs": [tensor], "parameters": named}))
            reply = connection.getresponse()
            told = json.loads(reply.read())
            if reply.status == 200:
                break
            if reply.status == 409:
                one.ended()
            elif reply.status == 503:
                self.retries += 1
                time.sleep(BUSY_S)
            else:
                raise RuntimeError(f"the agent answers {reply.status}: {told}")
        y = np.array(told["outputs"][0]["data"], np.float32)
        one.answers.append(GivenAnswer(x, told["parameters"]["variant"], y))


@dataclass(frozen=True)
class Checked:
    """`worst` is the largest difference between an answer and that of stepping alone, of `answers`.

    `unseen` is the smallest one that a state which missed its last step would have made, where it would make any.
    """

    answers: int
    worst: float
    unseen: float


def checked(sequences: Sequence[OneSequence], steps: Mapping[str, NextStep]) -> Checked:
    """Step every sequence alone, by the variants that answered it.

    Args:
        sequences: with their answers.
        steps: by variant.
    """
    count, worst, missed = 0, 0.0, [np.inf]
    for life in (life for one in sequences for life in (*one.before, one.answers)):
        state: StepArray | None = None
        before: StepArray | None = None
        for place, given in enumerate(life):
            following, y = steps[given.variant](state, given.x)
            worst = max(worst, float(np.abs(y - given.y).max()))
            if place:
                missed.append(float(np.abs(steps[given.variant](before, given.x)[1] - given.y).max()))
            before, state = state, following
            count += 1
    return Checked(count, worst, min(missed))


def went_on(sequences: Sequence[OneSequence], old: str, new: str) -> int:
    """How many were answered by one variant and then by another, and never began anew."""
    return sum(one.variants == [old, new] and not one.before for one in sequences)


def stepping(session: Any, x: str, given: str, gives: str, shape: Sequence[int]) -> NextStep:
    """How a session of onnxruntime is stepped: one input, one answer, and one pair of state."""
    [answer] = [one.name for one in session.get_outputs() if one.name != gives]

    def step(state: StepArray | None, sample: StepArray) -> tuple[StepArray, StepArray]:
        state = np.zeros(shape, np.float32) if state is None else state
        following, y = session.run([gives, answer], {x: sample[None], given: state})
        return following, y.reshape(-1)

    return step
