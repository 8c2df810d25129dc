"""A real agent, killed at every phase: it comes back, and nothing activates twice."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.parting import mostly_slow

from edgefleet_agent.sinks import synced_chunks
from edgefleet_protocol.chunks import Bitmap

pytestmark = pytest.mark.broker

Make = Callable[..., Any]
TENSOR = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [1.0] * 16}


def commit(agent: Any, stand_in: Any, variant: Any, generation: int = 1) -> None:
    """Bring a device to a committed variant."""
    stand_in.desire(variant.desired(generation), variant)
    stand_in.wait_phase("committed", generation)


KILLS = [
    # killed after this phase was saved, then: how the generation ends, and with which reason
    ("notified", "committed", None),
    ("downloading", "committed", None),
    ("verified", "committed", None),
    ("staged", "committed", None),
    ("self_test", "failed_no_change", "interrupted"),
    ("trial", "failed_rolled_back", "interrupted"),
    ("committed", "committed", None),
]


@pytest.mark.parametrize(("phase", "ends", "reason"), mostly_slow(KILLS, one_in=4), ids=[kill[0] for kill in KILLS])
def test_killed_at_any_phase_it_comes_back_and_nothing_activates_twice(
    agent: Any, stand_in: Any, make_variant: Make, phase: str, ends: str, reason: str | None
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(old)
    stand_in.desire(new.desired(2), new)
    agent.start(EDGEFLEET_FAILPOINT=f"journaled/{phase}")
    agent.wait_killed()
    stand_in.reports.clear()
    agent.start()
    model = stand_in.wait_phase(ends, 2)
    assert model.attempt.reason == reason
    answers = new if ends == "committed" else old
    stand_in.wait(lambda s: (a := s.reports[-1].models["pets"].answering) and a.variant == answers.id)
    assert agent.infer()[1]["parameters"]["variant"] == answers.id
    journal = agent.journal()
    assert journal.count((2, "trial", None)) <= 1
    assert stand_in.reports[-1].boot == 2


def test_killed_in_its_first_trial_it_answers_nothing_and_says_so(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant()
    stand_in.desire(variant.desired(1), variant)
    agent.start(EDGEFLEET_FAILPOINT="journaled/trial")
    agent.wait_killed()
    agent.start()
    model = stand_in.wait_phase("failed_rolled_back", 1)
    assert (model.attempt.reason, model.answering) == ("interrupted", None)


def test_a_generation_that_kills_the_agent_again_and_again_is_given_up(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant()
    stand_in.desire(variant.desired(1), variant)
    for _ in range(5):
        agent.start(EDGEFLEET_FAILPOINT="journaled/staged")
        agent.wait_killed()
    agent.start(EDGEFLEET_FAILPOINT="journaled/staged")
    assert stand_in.wait_phase("rejected", 1).attempt.reason == "looping"


def test_killed_in_a_long_download_it_asks_only_for_what_was_not_synced(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant(padding_bytes=150_000)
    blob = variant.encoding.blob.sha256
    stand_in.serve_chunks = 100
    stand_in.desire(variant.desired(1), variant)
    agent.start()
    done = variant.encoding.blob.size_bytes
    stand_in.wait(
        lambda s: (
            s.reports
            and (m := s.reports[-1].models.get("pets"))
            and m.attempt.phase == "downloading"
            and m.attempt.transfer.bytes_done > 100 * 1024
        )
    )
    [partial] = (agent.state / "downloads").rglob("encoding")
    deadline = time.monotonic() + 30
    while synced_chunks(partial) < 100:
        assert time.monotonic() < deadline, "not all that came was synced"
        time.sleep(0.05)
    agent.end(signal.SIGKILL)
    stand_in.serve_chunks = 10**9
    before = len(stand_in.wants)
    agent.start()
    stand_in.wait_phase("committed", 1)
    resumed = next(want for want in stand_in.wants[before:] if want.blob == blob)
    missing = Bitmap.from_text(resumed.chunks, resumed.missing)
    assert resumed.chunks == -(-done // 1024) and list(missing) == list(range(100, resumed.chunks))
    transfer = stand_in.reports[-1].models["pets"].attempt.transfer
    assert transfer.bytes_done == transfer.bytes_total == sum(len(data) for data in variant.blobs.values())
