"""Sequences over a switch of a real agent, under load: a few of what `scripts/bench sequences` asks a thousand of."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from benchmarks.sequence_load import SequenceLoad, checked, stepping, went_on
from tests.agent.stateful import WIDTH, build_stateful
from tests.agent.variants import Variant

pytestmark = pytest.mark.broker

INPUTS = np.random.default_rng(5).uniform(0.1, 1, (64, WIDTH)).astype(np.float32)
STATE = (2, 1, WIDTH)


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_every_answer_is_that_of_stepping_alone_over_two_switches(agent: Any, stand_in: Any) -> None:
    old, new = build_stateful(seed=1), build_stateful(seed=2, version=2)
    other = build_stateful(seed=3, version=3, carries=False)
    agent.start()
    stand_in.wait(lambda s: s.reports)

    def switch(generation: int, variant: Variant) -> None:
        stand_in.desire(variant.desired(generation), variant, model="steps")
        stand_in.wait_phase("committed", generation, model="steps")

    switch(1, old)
    load = SequenceLoad(agent.url.removeprefix("http://"), "steps", "x", sequences=12, inputs=INPUTS, connections=4)
    load.start()
    until(lambda: load.least() >= 3)
    switch(2, new)
    until(lambda: went_on(load.sequences, old.id, new.id) == 12)
    switch(3, other)
    until(lambda: all(one.before and len(one.answers) >= 3 for one in load.sequences))
    load.stop()
    sessions = {one.id: onnxruntime.InferenceSession(one.onnx) for one in (old, new, other)}
    found = checked(load.sequences, {v: stepping(one, "x", "h", "hn", STATE) for v, one in sessions.items()})
    assert found.worst < 1e-6 < found.unseen
    # Each was told that it has ended, and began anew.
    assert [len(one.before) for one in load.sequences] == [1] * 12
    assert {one.answers[0].variant for one in load.sequences} == {other.id}
