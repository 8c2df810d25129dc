"""Ctrl-C ends a command that waits, and not what the controller does: one line says so, and how to go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from edgefleet_contract.operations import OperationRecord

RUNNING = "019ad1c2-0000-7aaa-8bbb-ccccdddd1234"
PROGRESS = [{"recipe": "int8", "fraction": 0.5, "text": "calibrating"}]


class Typing:
    """A command in a process of its own, as in a terminal."""

    def __init__(self, url: str, *words: str) -> None:
        command = [sys.executable, "-m", "edgefleet_operator", *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self._process = subprocess.Popen(command, env=os.environ | {"EDGEFLEET_API": url}, **streams)

    def interrupts_after(self, text: str) -> str:
        """Press Ctrl-C once a line with this text is shown; the last line that follows."""
        assert self._process.stdout is not None
        with self._process:
            for line in self._process.stdout:
                if text in line:
                    break
            self._process.send_signal(signal.SIGINT)
            *_, last = self._process.stdout.read().splitlines() or [""]
            assert self._process.wait(30) == 130
        assert "Traceback" not in last
        return last


@pytest.fixture
def types(operator: Any) -> Callable[..., Typing]:
    return lambda *words: Typing(operator.url, *words)


@pytest.fixture
def running(service: Any) -> OperationRecord:
    given = {"id": RUNNING, "kind": "compress", "target": "fashion@1", "state": "running", "progress": PROGRESS}
    record = OperationRecord.model_validate({**given, "created_ms": 1, "changed_ms": 2})
    service.store.fleet.operations.put(record)
    return record


def test_a_build_goes_on_and_how_to_look_at_or_cancel_it_is_said(types, running: OperationRecord) -> None:
    last = types("operation", "show", running.id, "--watch").interrupts_after("int8: 50%")
    assert last == (
        "edgefleet: interrupted; operation dddd1234 goes on: `edgefleet operation show dddd1234` shows it, "
        "`edgefleet operation cancel dddd1234` cancels it"
    )


def test_so_it_is_after_compress_itself(types, operator, published: str) -> None:
    last = types("compress", published, "--profile", "eu/rpi4/lte", "--recipe", "fp32").interrupts_after("0%")
    (build,) = operator.reads("operation", "list")
    short = build["id"][-8:]
    assert f"operation {short} goes on: `edgefleet operation show {short}` shows it" in last
    assert operator.reads("operation", "show", short)["id"] == build["id"]


def test_a_rollout_goes_on_too(types, operator, join, published: str) -> None:
    join("a")
    rollout = operator.reads("rollout", "start", published, "--all")["id"][-8:]
    last = types("rollout", "show", rollout, "--watch").interrupts_after("is running")
    assert f"interrupted; rollout {rollout} goes on: `edgefleet rollout show {rollout}` shows it, " in last
    assert f"`edgefleet rollout pause {rollout}` pauses it" in last
    assert operator.reads("rollout", "show", rollout)["state"] == "running"
