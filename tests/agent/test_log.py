"""What a real agent's log and `edgefleet-agent status` tell of what it does."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from edgefleet_agent.__main__ import main

pytestmark = pytest.mark.broker

Make = Callable[..., Any]


def test_log_and_status_tell_each_transition_in_one_line(
    agent: Any, stand_in: Any, make_variant: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    first, fragile, wrong = make_variant(seed=1), make_variant(seed=2, fragile=True), make_variant(model="others")
    agent.start()
    stand_in.desire(first.desired(1), first)
    stand_in.wait_phase("committed", 1)
    stand_in.desire(fragile.desired(2, trial_s=60), fragile)
    stand_in.wait_phase("trial", 2)
    agent.infer(-1.0)
    stand_in.wait_phase("failed_rolled_back", 2)
    stand_in.desire(wrong.desired(3), wrong)
    stand_in.wait_phase("rejected", 3)
    where = ["status", "--state", str(agent.state)]
    before = capfd.readouterr()
    assert main([*where, "--last", "3"]) == 0
    running = capfd.readouterr().out
    agent.end()
    log = (before.err + capfd.readouterr().err).splitlines()
    ours, beside = (f"version 1 ({one.id[:12]})" for one in (fragile, first))
    expected = [
        "1: assigned -> notified: the controller asks for manifest",
        f"1: notified -> downloading: {beside} fits this device and is fetched",
        f"1: trial -> committed: {beside} held its trial and is committed",
        f"2: self_test -> trial: {ours} passed its self-test and answers on trial; {beside} waits behind it",
        f"2: trial -> failed_rolled_back: {ours} failed (trial_failed: output 'logits' is not finite: ",
        "3: notified -> rejected: version 1 (",
    ]
    for told in expected:
        assert len([line for line in log if f"pets, generation {told}" in line]) == 1, told
    assert [line for line in log if "WARNING" in line or "ERROR" in line] == [
        line for line in log if "-> failed_rolled_back" in line or "-> rejected" in line
    ], "nothing else is worth a warning, not even of the library that speaks MQTT"
    for shown, status in ((running, 0), (None, 1)):
        if shown is None:
            assert main([*where, "--last", "3"]) == status
            shown = capfd.readouterr().out
        (last,) = re.findall(r"last transitions:\n(.*)", shown, re.DOTALL)
        assert len(last.splitlines()) == 3
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d pets, generation 2: trial -> failed_", last)
        assert "rejected: version 1 (" in last and "is of model 'others'" in last and f"{beside} answers" in last
    assert main([*where, "--json", "--last", "2"]) == 1
    transitions = json.loads(capfd.readouterr().out)["transitions"]
    assert [(one["before"], one["phase"], one["reason"]) for one in transitions[-1:]] == [
        ("notified", "rejected", "manifest_invalid")
    ]
    assert len(transitions) == 2 and transitions[-1]["variant"] == wrong.id
    assert main([*where, "--last", "0"]) == 1
    assert "transitions" not in capfd.readouterr().out
