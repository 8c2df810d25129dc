"""A request that asks for too much is a real agent's 413 and counts for nothing; a variant that crashes does count."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.agent.batches import crashes_in_batches, thirsty

from edgefleet_protocol.manifest import Memory

pytestmark = pytest.mark.broker

Make = Callable[..., Any]
MB = 2**20


def batch(rows: int) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, 16], "data": [1.0] * 16 * rows}
    return {"inputs": [tensor]}


def commit(agent: Any, stand_in: Any, variant: Any) -> None:
    agent.start()
    stand_in.desire(variant.desired(1), variant)
    stand_in.wait_phase("committed", 1)


def ask(agent: Any, rows: int) -> tuple[int, Any]:
    status, told = agent.call("/v2/models/pets/infer", batch(rows))
    return status, told


def counted(stand_in: Any) -> tuple[int, int]:
    """Requests and errors in all windows so far."""
    return sum(w.requests for w in stand_in.windows), sum(w.errors for w in stand_in.windows)


def test_a_batch_that_needs_more_memory_than_was_measured_is_a_413_and_no_failure(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    commit(agent, stand_in, make_variant(onnx=thirsty(MB // 16), labels=()))
    for _ in range(2):
        status, told = ask(agent, 5000)
        assert status == 413, told
        assert "send 1 row of 64 bytes at a time" in told["error"]
    assert ask(agent, 4)[0] == 200
    assert "send 4 rows of 64 bytes" in ask(agent, 5000)[1]["error"]
    assert ask(agent, 1)[0] == 200
    stand_in.wait(lambda s: counted(s) == (2, 0))
    assert agent.call("/v2/models/pets/ready")[0] == 200
    assert stand_in.reports[-1].models["pets"].attempt.phase == "committed"


def test_a_variant_that_crashes_in_batches_within_its_limits_has_failed(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    commit(agent, stand_in, make_variant(onnx=crashes_in_batches(), labels=()))
    status, told = ask(agent, 2)
    assert status == 503 and "ended with status -8" in told["error"]
    assert ask(agent, 1)[0] == 200
    stand_in.wait(lambda s: counted(s) == (2, 1))


def test_a_variant_that_cannot_share_the_memory_is_refused_as_the_first_one_too(
    agent: Any, stand_in: Any, make_variant: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    agent.start()
    stand_in.wait(lambda s: s.reports)
    ram_bytes = stand_in.reports[-1].facts.ram_mb * MB
    greedy = make_variant(memory=Memory(resident_bytes=ram_bytes // 2 + 1, address_bytes=ram_bytes))
    stand_in.desire(greedy.desired(1), greedy)
    attempt = stand_in.wait_phase("rejected", 1).attempt
    assert attempt.reason == "out_of_memory"
    assert f"took {ram_bytes // 2 + 1} bytes of memory at its build" in attempt.detail
    assert f"half of the {ram_bytes} here, also where it is the first: when the next one is tried" in attempt.detail
    assert not (agent.state / "slots" / greedy.id).exists()
    assert f"version 1 ({greedy.id[:12]}) is refused (out_of_memory: " in capfd.readouterr().err
