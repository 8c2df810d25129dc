"""Bits rot in the slot that answers: what ran before answers, the operator is told, and what is wanted comes again."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefleet_protocol.messages import DesiredModel

pytestmark = pytest.mark.broker

Make = Callable[..., Any]


def flip(path: Path) -> None:
    """One bit of a file, of a manifest in what makes the variant."""
    data = bytearray(path.read_bytes())
    data[data.index(b'"core"') + 10 if path.suffix == ".json" else len(data) // 2] ^= 1
    path.write_bytes(data)


def committed(agent: Any, stand_in: Any, old: Any, new: Any) -> None:
    """A device that answers with `new`, with `old` behind it."""
    agent.install(old)
    stand_in.desire(new.desired(2), new, old)
    agent.start()
    stand_in.wait_phase("committed", 2)


def answers_with(stand_in: Any, variant: Any) -> Any:
    """Wait until the device reports that `variant` answers; what it says of the model."""

    def found(heard: Any) -> Any:
        told = heard.reports[-1].models.get("pets") if heard.reports else None
        return told if told and told.answering and told.answering.variant == variant.id else None

    return stand_in.wait(found)


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_a_rotten_slot_is_replaced_by_the_previous_one_at_start_and_fetched_again(
    agent: Any, stand_in: Any, make_variant: Make, file: str
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    committed(agent, stand_in, old, new)
    agent.end()
    flip(agent.state / "slots" / new.id / file)
    stand_in.reports.clear()
    stand_in.serve_chunks = 0
    agent.start()
    told = answers_with(stand_in, old)
    assert (told.lost.variant, told.lost.reason) == (new.id, "blob_corrupt")
    status, said = agent.infer()
    assert (status, said["parameters"]["variant"]) == (200, old.id)
    stand_in.wait_phase("downloading", 2)
    stand_in.serve_chunks = 10**9
    stand_in.wait_phase("committed", 2)
    told = answers_with(stand_in, new)
    assert told.lost is None
    assert agent.infer()[1]["parameters"]["variant"] == new.id
    assert (agent.state / "slots" / new.id / "model.onnx").read_bytes() == new.onnx


def test_after_a_rollback_the_rejected_variant_never_answers_again(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    committed(agent, stand_in, old, new)
    stand_in.desire(old.desired(3, at_once=True), old)
    told = stand_in.wait_phase("committed", 3)
    assert [slot.variant for slot in told.slots] == [old.id]
    agent.end()
    flip(agent.state / "slots" / old.id / "model.onnx")
    stand_in.reports.clear()
    stand_in.serve_chunks = 0
    agent.start()
    told = stand_in.wait_phase("downloading", 3)
    assert (told.answering, told.lost and told.lost.variant) == (None, old.id)
    status, said = agent.infer()
    assert (status, said["error"]) == (503, "model 'pets' is not ready: no variant answers yet")
    stand_in.serve_chunks = 10**9
    answers_with(stand_in, old)
    status, said = agent.infer()
    assert (status, said["parameters"]["variant"]) == (200, old.id)


def test_a_rejected_variant_that_was_replaced_never_answers_again(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    rejected, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(rejected)
    desired = new.desired(2)
    stand_in.desire(desired.model_copy(update={"keep": desired.manifest}), new)
    agent.start()
    told = stand_in.wait_phase("committed", 2)
    assert [slot.variant for slot in told.slots] == [new.id]
    agent.end()
    flip(agent.state / "slots" / new.id / "model.onnx")
    stand_in.reports.clear()
    stand_in.serve_chunks = 0
    agent.start()
    stand_in.wait_phase("downloading", 2)
    assert agent.infer()[0] == 503


def test_a_rollback_to_nothing_leaves_nothing_that_could_stand_in_later(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    rejected, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(rejected)
    stand_in.desire(DesiredModel(generation=2, at_once=True))
    agent.start()
    stand_in.wait_phase("removed", 2)
    assert agent.infer()[0] == 503
    stand_in.desire(new.desired(3), new)
    stand_in.wait_phase("committed", 3)
    agent.end()
    flip(agent.state / "slots" / new.id / "model.onnx")
    stand_in.reports.clear()
    stand_in.serve_chunks = 0
    agent.start()
    stand_in.wait_phase("downloading", 3)
    assert agent.infer()[0] == 503


def test_a_slot_that_rots_under_its_worker_is_found_when_that_has_to_start_again(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    committed(agent, stand_in, old, new)
    stand_in.serve_chunks = 0
    flip(agent.state / "slots" / new.id / "model.onnx")
    assert agent.infer()[1]["parameters"]["variant"] == new.id, "it is in memory"
    for worker in agent.workers():
        with contextlib.suppress(ProcessLookupError):  # the old one's, that has ended meanwhile
            os.kill(worker, signal.SIGKILL)
    answers_with(stand_in, old)
    assert agent.infer()[1]["parameters"]["variant"] == old.id
    stand_in.serve_chunks = 10**9
    answers_with(stand_in, new)


def test_where_nothing_ran_before_nothing_answers_until_it_is_fetched_again(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant(seed=1)
    agent.install(variant)
    flip(agent.state / "slots" / variant.id / "model.onnx")
    stand_in.desire(variant.desired(1), variant)
    stand_in.serve_chunks = 0
    agent.start()
    stand_in.wait_phase("downloading", 1)
    assert agent.infer()[0] == 503, "a rotten variant never answers"
    stand_in.serve_chunks = 10**9
    answers_with(stand_in, variant)
    assert agent.infer()[0] == 200


def test_what_is_not_wanted_any_more_is_not_fetched_again(agent: Any, stand_in: Any, make_variant: Make) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    committed(agent, stand_in, old, new)
    bad = make_variant(seed=3, wrong_golden=True)
    stand_in.desire(bad.desired(3), bad)
    stand_in.wait_phase("failed_no_change", 3)
    agent.end()
    flip(agent.state / "slots" / new.id / "model.onnx")
    stand_in.reports.clear()
    stand_in.wants.clear()
    agent.start()
    told = answers_with(stand_in, old)
    assert told.lost.variant == new.id
    assert (told.attempt.phase, told.attempt.generation) == ("failed_no_change", 3)
    assert stand_in.wants == [] and not (agent.state / "slots" / new.id).exists()


def test_a_candidate_that_rots_while_it_waits_ends_its_attempt_and_not_the_agent(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(old)
    stand_in.desire(new.desired(2, activate=False), new)
    agent.start()
    stand_in.wait_phase("staged", 2)
    flip(agent.state / "slots" / new.id / "manifest.json")
    stand_in.desire(new.desired(2), new)
    assert stand_in.wait_phase("failed_no_change", 2).attempt.reason == "blob_corrupt"
    answers_with(stand_in, old)
    assert agent.infer()[1]["parameters"]["variant"] == old.id
