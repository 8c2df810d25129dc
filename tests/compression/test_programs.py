"""A program that ends without an answer says why it did: of its own, by a limit, by a crash, or by somebody's hand."""

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.compression.brought_models import classifier, written

from edgefleet_compression.errors import GraphError
from edgefleet_compression.models.door.inspection import inspect_graph
from edgefleet_compression.programs import end_of, output_of

PATIENCE_S = 60
INSPECTION = "edgefleet_compression.models.door.inspection"


def ended(code: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        output_of([sys.executable, "-c", code], PATIENCE_S)
    return failed.value


KILL = "import os; os.kill(os.getpid(), {})"
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_{}, ({}, {})); {}"


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        ("raise SystemExit('because')", "error", "because"),
        ("raise SystemExit(3)", "error", "it said nothing"),
        (KILL.format(int(signal.SIGSEGV)), "crash", r"it crashed \(SIGSEGV\)"),
        (KILL.format(int(signal.SIGABRT)), "crash", r"it crashed \(SIGABRT\)"),
        (KILL.format(int(signal.SIGKILL)), "killed", r"the system killed it \(SIGKILL\)"),
        (KILL.format(int(signal.SIGTERM)), "killed", r"somebody ended it \(SIGTERM\)"),
        (LIMITED.format("CPU", 1, 2, "\nwhile True: pass"), "time", "SIGXCPU"),
        (LIMITED.format("AS", 2**29, 2**29, "x = bytearray(2**30)"), "memory", "MemoryError"),
    ],
)
def test_the_end_of_a_program_is_told_by_its_cause(code: str, cause: str, words: str) -> None:
    end = end_of(ended(code))
    assert end.cause == cause
    assert re.search(words, end.words)
    assert len(end.words.splitlines()) == 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (signal.SIGSEGV, r"it crashed \(SIGSEGV\): onnxruntime cannot run it"),
        (signal.SIGKILL, r"cut short: the system killed it \(SIGKILL\), .*memory"),
        (signal.SIGXCPU, r"took more than 90 s of CPU time"),
    ],
)
def test_a_look_at_a_model_that_is_cut_short_says_by_what(tmp_path: Path, sent: signal.Signals, said: str) -> None:
    model = written(classifier(), tmp_path)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(inspect_graph, model)
        looker().send_signal(sent)
        with pytest.raises(GraphError, match=said) as refused:
            looking.result(PATIENCE_S)
    assert "GB" not in str(refused.value)


def looker() -> psutil.Process:
    """The process that looks at a model for this one."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        for child in psutil.Process().children():
            if INSPECTION in child.cmdline():
                return child
        time.sleep(0.01)
    raise AssertionError("no model is looked at")
