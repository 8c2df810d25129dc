"""What the client in examples/node-client does with what it is told, and refuses, on a controller by hand."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.conftest import Broker, nats, running
from tests.fleet.by_hand import ByHand, Parts, found_in
from tests.fleet.node import NodeDevice, installed

from edgefleet_profiles.parts import CHUNK_BYTES
from edgefleet_protocol.answers import pack_answers, unpack_answers
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, chunk_count, frame
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.messages import ReportedState, decode

pytestmark = [pytest.mark.fleet, pytest.mark.broker]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    yield from running(nats(tmp_path_factory.mktemp("broker")))


@pytest.fixture(scope="module")
def variant(built: Path) -> tuple[dict[str, Any], Parts]:
    """A manifest and what it names."""
    return found_in(built / "blobs", "int8")


@pytest.fixture
def hand(broker: Broker, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[ByHand]:
    """A controller by hand, and the client as the device that it speaks to."""
    name = f"node-{uuid4().hex[:8]}"
    one = ByHand(broker, name)
    device = NodeDevice(installed(tmp_path_factory, worker_id), tmp_path_factory.mktemp("device"), broker.url, name)
    device.start()
    yield one
    device.kill()
    one.close()


def another_model(parts: Parts) -> Parts:
    """The encoding is a sound one, of another file than the manifest names."""
    return {**parts, "encoding": compress(parts["onnx"] + b"!")}


def a_cut_encoding(parts: Parts) -> Parts:
    return {**parts, "encoding": parts["encoding"][:-9]}


def no_model_at_all(parts: Parts) -> Parts:
    return {**parts, "onnx": b"not a model", "encoding": compress(b"not a model")}


def answers_of_another(parts: Parts) -> Parts:
    return {**parts, "answers": pack_answers(unpack_answers(parts["answers"])[::-1])}


def no_golden_set(parts: Parts) -> Parts:
    return {**parts, "golden": b"not an archive"}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (another_model, {"blob_corrupt"}),
        (a_cut_encoding, {"blob_corrupt"}),
        (no_model_at_all, {"load_failed"}),
        (answers_of_another, {"self_test_failed"}),
        (no_golden_set, {"load_failed", "self_test_failed"}),
    ],
)
def test_what_does_not_match_is_never_switched_to(
    hand: ByHand, variant: tuple[dict[str, Any], Parts], change: Callable[[Parts], Parts], reasons: set[str]
) -> None:
    manifest, parts = variant
    hand.desire(generation=1, rollout="a" * 32, activate=True, **hand.publish(manifest, change(parts)))
    ended = hand.wait(1, "failed_no_change")
    assert ended["reason"] in reasons
    assert "answering" not in hand.model
    assert "trial" not in {one["models"]["fashion"]["attempt"]["phase"] for one in hand.reports if one["models"]}
    hand.desire(generation=2, rollout="b" * 32, activate=True, **hand.publish(manifest, parts))
    hand.wait(2, "committed")


def test_a_manifest_that_does_not_fit_is_rejected_and_nothing_else_is_fetched(
    hand: ByHand, variant: tuple[dict[str, Any], Parts]
) -> None:
    manifest, parts = variant
    cases = [
        ({"model": "other"}, "manifest_invalid"),
        ({"needs": ["pairs"]}, "agent_too_old"),
        ({"instruction_sets": ["arm-neon"]}, "wrong_hardware"),
    ]
    for generation, (changes, reason) in enumerate(cases, 1):
        told = hand.publish({**manifest, **changes}, parts)
        hand.desire(generation=generation, rollout="a" * 32, **told)
        assert hand.wait(generation, "rejected")["reason"] == reason
    assert len(hand.wants) == len(cases)


def test_generation_and_activate_decide(hand: ByHand, variant: tuple[dict[str, Any], Parts]) -> None:
    told = hand.publish(*variant)
    hand.desire(generation=5, rollout="a" * 32, activate=False, **told)
    hand.wait(5, "staged")
    hand.desire(generation=4, rollout="b" * 32, activate=True, **told)  # old
    hand.desire(generation=5, rollout="a" * 32, activate=False, **told)  # nothing new
    time.sleep(0.5)
    assert (hand.attempt["generation"], hand.attempt["phase"]) == (5, "staged")
    hand.desire(generation=5, rollout="a" * 32, activate=True, **told)
    hand.wait(5, "committed")
    hand.desire(generation=5, rollout="a" * 32, activate=True, **told)  # ended
    hand.desire(generation=6, rollout="c" * 32, activate=True, **told)
    hand.wait(6, "already_installed")
    assert hand.model["answering"]["generation"] == 6
    hand.desire(generation=7, rollout="d" * 32)  # nothing is to answer
    hand.wait(7, "removed")
    assert "answering" not in hand.model
    said = [one["models"]["fashion"]["attempt"] for one in hand.reports if one["models"]]
    ways = [(one["generation"], one["phase"]) for one in said if one["phase"] in ("notified", "committed")]
    assert sorted(set(ways)) == [(5, "committed"), (5, "notified"), (6, "notified"), (7, "notified")]
    for report in hand.reports:  # strictly: no null where none may be, and no value of another type
        decode(ReportedState, json.dumps(report).encode())


def test_forged_chunks_are_dropped(hand: ByHand, variant: tuple[dict[str, Any], Parts]) -> None:
    told = hand.publish(*variant)
    forged: set[tuple[int, int]] = set()

    def meddle(index: int, data: bytes) -> list[bytes]:
        right = frame(index, data)
        wrong = [b"\x02" + right[1:], frame(index, data[:-1]), frame(10**6, data), frame(index, data[::-1])]
        if len(data) == SMALL_BLOB_CHUNK_BYTES and (index, len(data)) not in forged:
            forged.add((index, len(data)))
            return wrong  # a whole copy of the golden set that does not match: it is asked for again
        return [*wrong, right] if len(data) > SMALL_BLOB_CHUNK_BYTES else [right]

    hand.meddle = meddle
    hand.desire(generation=1, rollout="a" * 32, activate=True, **told)
    transfer = hand.wait(1, "committed", 60)["transfer"]
    chunks = chunk_count(len(variant[1]["encoding"]), CHUNK_BYTES)
    assert transfer["wrong_chunks"] >= 4 * (chunks - 1) + 3 * len(forged)
    assert transfer["bytes_done"] == transfer["bytes_total"]
    assert transfer["wants"] == len(hand.wants) == 6
