"""A variant whose file a slot holds is taken from there: only what is new is fetched, and slots stay independent."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agent.test_agent import commit
from tests.parting import mostly_slow

from edgefleet_agent.held_files import HeldFiles
from edgefleet_agent.slots import MODEL, Slots
from edgefleet_protocol.canonical import digest

pytestmark = pytest.mark.broker

Make = Callable[..., Any]
OPTIONS = {"session.intra_op.allow_spinning": "0"}
PADDING_BYTES = 200_000


def asked_for(stand_in: Any, since: int = 0) -> set[str]:
    return {want.blob for want in stand_in.wants[since:]}


def model_file(agent: Any, variant: Any) -> Path:
    return Path(agent.state / "slots" / variant.id / MODEL)


@pytest.fixture
def pair(make_variant: Make) -> tuple[Any, Any]:
    """One file with two runtime settings."""
    first, tuned = (make_variant(seed=1, padding_bytes=PADDING_BYTES, runtime=options) for options in ({}, OPTIONS))
    assert first.onnx == tuned.onnx and first.id != tuned.id
    return first, tuned


def test_other_options_cost_no_second_download(agent: Any, stand_in: Any, pair: tuple[Any, Any]) -> None:
    first, tuned = pair
    agent.start()
    commit(agent, stand_in, first, 1)
    whole = stand_in.reports[-1].models["pets"].attempt.transfer.bytes_done
    assert whole > PADDING_BYTES
    since, sent = len(stand_in.wants), 10**9 - stand_in.serve_chunks
    assert sent > 100
    commit(agent, stand_in, tuned, 2)
    manifest = tuned.manifest.to_bytes()
    assert asked_for(stand_in, since) == {digest(manifest)}
    assert 10**9 - stand_in.serve_chunks == sent, "no chunk of an encoding was sent"
    transfer = stand_in.reports[-1].models["pets"].attempt.transfer
    assert (transfer.bytes_total, transfer.bytes_done) == (len(manifest), len(manifest))
    assert agent.infer()[1]["parameters"]["variant"] == tuned.id


def test_slots_with_the_same_file_do_not_harm_each_other(agent: Any, stand_in: Any, pair: tuple[Any, Any]) -> None:
    first, tuned = pair
    agent.start()
    commit(agent, stand_in, first, 1)
    commit(agent, stand_in, tuned, 2)
    assert model_file(agent, tuned).stat().st_nlink == model_file(agent, first).stat().st_nlink == 1
    assert not list((agent.state / "downloads").iterdir())
    with model_file(agent, tuned).open("r+b") as file:  # a bit rots where it lies
        file.write(b"rotten")
    stand_in.blobs.clear()
    commit(agent, stand_in, first, 3)
    shutil.rmtree(model_file(agent, tuned).parent)
    assert agent.infer()[1]["parameters"]["variant"] == first.id
    assert model_file(agent, first).read_bytes() == first.onnx


def test_the_slot_of_another_model_serves_as_well(agent: Any, stand_in: Any, make_variant: Make) -> None:
    ours = make_variant(seed=1, padding_bytes=PADDING_BYTES)
    theirs = make_variant(seed=1, padding_bytes=PADDING_BYTES, model="dogs")
    agent.start()
    commit(agent, stand_in, ours)
    since = len(stand_in.wants)
    stand_in.desire(theirs.desired(1), theirs, model="dogs")
    stand_in.wait_phase("committed", 1, model="dogs")
    assert asked_for(stand_in, since) == {digest(theirs.manifest.to_bytes())}
    assert agent.call("/v2/models/dogs/ready")[0] == 200


def test_a_file_that_rotted_in_its_slot_is_fetched(agent: Any, stand_in: Any, pair: tuple[Any, Any]) -> None:
    first, tuned = pair
    agent.start()
    commit(agent, stand_in, first, 1)
    model_file(agent, first).write_bytes(b"rotten")
    since = len(stand_in.wants)
    commit(agent, stand_in, tuned, 2)
    assert tuned.encoding.blob.sha256 in asked_for(stand_in, since)
    assert model_file(agent, tuned).read_bytes() == tuned.onnx


FAILPOINTS = ["journaled/downloading", "journaled/verified", "model_unfolded", "slot_cleared"]


@pytest.mark.parametrize("failpoint", mostly_slow(FAILPOINTS, one_in=2))
def test_an_agent_killed_on_the_way_takes_the_file_once_more(
    agent: Any, stand_in: Any, pair: tuple[Any, Any], failpoint: str
) -> None:
    first, tuned = pair
    agent.install(first)
    agent.start(EDGEFLEET_FAILPOINT=failpoint)
    stand_in.desire(tuned.desired(2), tuned)
    agent.wait_killed()
    agent.start()
    stand_in.wait_phase("committed", 2)
    assert asked_for(stand_in) == {digest(tuned.manifest.to_bytes())}


def test_what_was_taken_outlives_its_slot(tmp_path: Path, make_variant: Make) -> None:
    variant, scratch = make_variant(), tmp_path / "scratch"
    scratch.mkdir()
    slot = variant.place(tmp_path / "slots")
    slots, sha256 = Slots(tmp_path), digest(variant.onnx)
    assert not HeldFiles(slots, scratch).take(MODEL, "0" * 64)
    assert HeldFiles(slots, scratch).take(MODEL, sha256)
    shutil.rmtree(slot)
    assert HeldFiles(slots, scratch).take(MODEL, sha256), "it was taken by an earlier run"
    assert (scratch / MODEL).read_bytes() == variant.onnx
    (scratch / MODEL).write_bytes(b"half of a copy")
    assert not HeldFiles(slots, scratch).take(MODEL, sha256)
    assert not (scratch / MODEL).exists()
