"""The connection to real brokers: it comes back after a kill, and what was on its way arrives."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.broker


def test_a_killed_broker_costs_only_time_and_the_download_goes_on(
    any_broker: Any,
    start_agent: Callable[..., Any],
    start_stand_in: Callable[..., Any],
    make_variant: Callable[..., Any],
) -> None:
    stand_in, agent = start_stand_in(any_broker), start_agent(any_broker)
    variant = make_variant(padding_bytes=150_000)
    stand_in.serve_chunks = 60
    agent.start()
    stand_in.desire(variant.desired(1), variant)
    stand_in.wait(lambda s: s.reports and s.serve_chunks <= 0)
    any_broker.kill()
    any_broker.wipe_store()
    any_broker.start()
    stand_in.serve_chunks = 10**9
    # The broker has forgotten the desired state; the device has not.
    stand_in.wait_phase("committed", 1, timeout_s=30)
    assert agent.infer()[0] == 200


def test_two_agents_with_one_state_folder_are_refused(broker: Any, start_agent: Callable[..., Any], capfd: Any) -> None:
    first, second = start_agent(broker), start_agent(broker)
    first.start()
    assert first.url
    second._argv = first._argv
    second.start()
    assert second.process.wait(10) == 1
    assert "another agent uses" in capfd.readouterr().err
