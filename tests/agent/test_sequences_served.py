"""Models with state over HTTP: steps as Triton's clients send them, over deaths, trials and switches."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.agent.endpoint import get, post
from tests.agent.stateful import WIDTH, build_stateful, stepped

from edgefleet_agent.answering import Answering, Trouble
from edgefleet_agent.checks import check_golden, tolerance
from edgefleet_agent.device import scorer_text
from edgefleet_agent.endpoint import Endpoint
from edgefleet_agent.errors import Rejected
from edgefleet_agent.placed import Placed
from edgefleet_agent.self_test import golden_order
from edgefleet_agent.serving import Serving
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.messages import Slot

INFER = "/v2/models/steps/infer"
STEPS = np.random.default_rng(2).uniform(0.1, 1, (6, WIDTH)).astype(np.float32)


class Stateful:
    """An endpoint with one model, `steps`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.troubles = folder, list[Trouble]()
        self.answering = Answering(self.troubles.append)
        self.recorder = Recorder(lambda: 0.0, lambda: 0)
        self.serving = Serving(self.recorder, lambda: b"{}")
        self.serving.add("steps", self.answering, lambda: True)
        self.endpoint = Endpoint("127.0.0.1", 0, self.serving)
        self.placed: list[Placed] = []

    def place(self, **changes: Any) -> Placed:
        """A variant with a worker; it does not answer yet."""
        made = build_stateful(**changes)
        path = self._folder / made.id
        if not path.exists():
            made.place(self._folder)
        core, version = made.manifest.core, made.manifest.model_version
        spec = WorkerSpec(path / "model.onnx", {}, signature=core.signature, scorer=scorer_text(core), state=core.state)
        slot = Slot(variant=made.id, manifest="0" * 64, model_version=version, generation=version)
        self.placed.append(Placed(slot, made.manifest, spec, Worker(spec, ask_timeout_s=5.0)))
        return self.placed[-1]

    def step(self, x: Any, sequence: Any = 7, **parameters: Any) -> tuple[int, Any]:
        """One step: its logits, or the status and what was said."""
        tensor = {"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "data": np.asarray(x).tolist()}
        asked = {"inputs": [tensor], "parameters": {"sequence_id": sequence, **parameters}}
        status, told = post(self.endpoint.url, INFER, json.dumps(asked).encode())
        if status != 200:
            return status, told["error"]
        [logits] = told["outputs"]
        assert logits["name"] == "logits" and told["parameters"]["sequence_id"] == sequence
        return status, np.array(logits["data"], np.float32)

    def steps(self, xs: Any, starts: bool = True, **kind: Any) -> list[Any]:
        """The logits of several steps."""
        found = [self.step(x, sequence_start=starts and place == 0, **kind) for place, x in enumerate(xs)]
        assert {status for status, _ in found} == {200}, found
        return [logits for _, logits in found]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Stateful]:
    made = Stateful(tmp_path)
    yield made
    made.endpoint.close()
    for placed in made.placed:
        placed.kill()


@pytest.fixture
def serves(device: Stateful) -> Stateful:
    device.answering.serve(device.place())
    return device


def alone(xs: Any = STEPS, **changes: Any) -> list[Any]:
    return stepped(build_stateful(**changes).onnx, xs)


def test_answers_are_those_of_stepping_alone_whatever_goes_on_beside(serves: Stateful) -> None:
    others = STEPS[::-1]
    found: dict[str, list[Any]] = {"a": [], "b": []}
    for place, (x, other) in enumerate(zip(STEPS, others, strict=True)):
        found["a"].append(serves.step(x, "a", sequence_start=place == 0)[1])
        found["b"].append(serves.step(other, "b", sequence_start=place == 0)[1])
    np.testing.assert_array_equal(found["a"], alone())
    np.testing.assert_array_equal(found["b"], alone(others))
    assert serves.recorder.close()[0].requests == 12  # each step is an answer


def test_a_sequence_begins_and_ends_as_it_is_told(serves: Stateful) -> None:
    assert serves.step(STEPS[0]) == (400, "sequence 7 is not under way: begin with sequence_start")
    serves.steps(STEPS[:3])
    np.testing.assert_array_equal(serves.steps(STEPS), alone())  # a start without an end before it
    assert serves.step(STEPS[0], sequence_end=True)[0] == 200
    assert serves.step(STEPS[0])[0] == 400


def test_a_request_without_a_sequence_or_with_two_samples_says_what_is_wanted(serves: Stateful) -> None:
    tensor = {"name": "x", "shape": [2, WIDTH], "datatype": "FP32", "data": [1.0] * 2 * WIDTH}
    asked: dict[str, Any] = {"inputs": [tensor]}
    assert post(serves.endpoint.url, INFER, json.dumps(asked).encode())[1]["error"] == (
        "this model keeps state: name the sequence of this step with sequence_id, and begin with sequence_start"
    )
    asked["parameters"] = {"sequence_id": 1, "sequence_start": True}
    told = post(serves.endpoint.url, INFER, json.dumps(asked).encode())[1]["error"]
    assert told == f"the shape of input 'x' is [2, {WIDTH}], expected [1, {WIDTH}] (-1: any)"
    asked["inputs"].append({"name": "h", "shape": [2, 1, WIDTH], "datatype": "FP32", "data": [9.0] * 8})
    told = post(serves.endpoint.url, INFER, json.dumps(asked).encode())[1]["error"]
    assert told == "the inputs are ['h', 'x'], expected ['x']"


def test_metadata_hide_the_state_and_the_configuration_names_it(serves: Stateful) -> None:
    metadata = get(serves.endpoint.url, "/v2/models/steps")[1]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH]}]
    assert [one["name"] for one in metadata["outputs"]] == ["logits"]
    config = get(serves.endpoint.url, "/v2/models/steps/config")[1]
    assert (config["max_batch_size"], [one["name"] for one in config["input"]]) == (0, ["x"])
    state = {"input_name": "h", "output_name": "hn", "data_type": "TYPE_FP32", "dims": [2, 1, WIDTH]}
    assert config["sequence_batching"]["state"] == [state]
    assert config["sequence_batching"]["max_sequence_idle_microseconds"] == 60_000_000


def test_a_workers_death_loses_no_state(serves: Stateful) -> None:
    found = serves.steps(STEPS[:3])
    serves.placed[0].worker.kill()
    np.testing.assert_array_equal(found + serves.steps(STEPS[3:], starts=False), alone())


def test_a_sequence_goes_on_with_the_next_version_and_back_again(serves: Stateful) -> None:
    serves.steps(STEPS[:2])
    new = serves.place(seed=1, version=2)
    serves.answering.begin_trial(new)
    # The state does not depend on the weights: what follows is what the new version answers to the whole sequence.
    np.testing.assert_array_equal(serves.steps(STEPS[2:4], starts=False), alone(seed=1)[2:4])
    serves.answering.roll_back()
    np.testing.assert_array_equal(serves.steps(STEPS[4:], starts=False), alone()[4:])


@pytest.mark.parametrize("other", [{"carries": False}, {"state": (3, 1, WIDTH)}])
def test_a_version_with_another_state_ends_sequences_with_a_word(serves: Stateful, other: dict[str, Any]) -> None:
    serves.steps(STEPS[:2])
    serves.answering.begin_trial(serves.place(seed=1, version=2, **other))
    serves.answering.commit()
    assert serves.step(STEPS[2]) == (
        409,
        "sequence 7 was ended by version 2 of the model, which does not take the state of version 1: begin with "
        "sequence_start",
    )
    assert serves.step(STEPS[2])[0] == 400
    made = build_stateful(seed=1, version=2, **other)
    np.testing.assert_array_equal(serves.steps(STEPS), stepped(made.onnx, STEPS, other.get("state", (2, 1, WIDTH))))


def test_a_trial_that_fails_goes_back_with_the_state_of_the_last_answer(serves: Stateful) -> None:
    serves.steps(STEPS[:2])
    serves.answering.begin_trial(serves.place(seed=1, version=2, fragile=True))
    serves.steps(STEPS[2:3], starts=False)
    bad = -STEPS[3]
    found = [serves.step(bad)[1], *serves.steps(STEPS[4:], starts=False)]
    np.testing.assert_array_equal(found, alone([*STEPS[:3], bad, *STEPS[4:]])[3:])
    assert [trouble.slot.model_version for trouble in serves.troubles] == [2]


def test_a_trial_that_fails_with_a_state_of_its_own_ends_what_it_began(serves: Stateful) -> None:
    serves.answering.begin_trial(serves.place(seed=1, version=2, fragile=True, carries=False))
    serves.steps(STEPS[:2])
    status, told = serves.step(-STEPS[2])
    assert (status, told.split(",")[0]) == (409, "sequence 7 was ended by version 1 of the model")
    assert len(serves.troubles) == 1
    np.testing.assert_array_equal(serves.steps(STEPS), alone())


def test_requests_that_were_read_for_another_signature_are_told_the_new_one(serves: Stateful, place: Any) -> None:
    tensors = [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH]}]
    serves.answering.serve(place())
    with pytest.raises(Exception, match=r"version 1 of the model answers now, and takes x FP32 \[-1, 16\]: send these"):
        serves.answering.ask(tensors, bytes(4 * WIDTH))


def test_steps_of_many_threads_are_each_asked_once(serves: Stateful) -> None:
    found: dict[int, list[Any]] = {}
    ask: Callable[[int], None] = lambda n: found.update({n: serves.steps(STEPS * n, sequence=n)})  # noqa: E731
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, logits in found.items():
        np.testing.assert_array_equal(logits, alone(STEPS * number))
    assert len(found) == 8


@pytest.mark.parametrize("damaged", [False, True])
def test_the_self_test_steps_through_whole_sequences(device: Stateful, tmp_path: Path, damaged: bool) -> None:
    placed = device.place(damaged=damaged)
    reply = placed.worker.self_test(golden_order(placed.manifest, tmp_path / placed.slot.variant))
    assert reply["count"] == 30
    if not damaged:
        check_golden(tolerance(placed.manifest), reply)
        return
    with pytest.raises(Rejected, match="answers match the recorded ones"):
        check_golden(tolerance(placed.manifest), reply)
