"""Figures mean what their names say."""

import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from tests.compression.asking import zeros
from tests.compression.test_batches import wide_model

from edgefleet_compression.errors import MeasureError, RecipeError
from edgefleet_compression.measuring.host import host, read_cpuinfo
from edgefleet_compression.measuring.measure import probe
from edgefleet_compression.measuring.probe import LEAST_CALLS, ROUND_CALLS, _calls
from edgefleet_compression.measuring.probe_request import ProbeFigures, ProbeRequest, figures_in, request_in
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.session import GraphSession


def test_the_first_processor_of_cpuinfo_is_read() -> None:
    text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: B\n"
    assert read_cpuinfo(text) == {"processor": "0", "model name": "A CPU @ 2 GHz", "flags": "fpu avx2"}


def test_the_host_has_a_name_and_an_instruction_set() -> None:
    name, instruction_set = host()
    assert name and instruction_set


def test_a_file_that_does_not_run_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(MeasureError, match="the variant doesn't run in onnxruntime"):
        probe(tmp_path / "broken.onnx", zeros("x", 1, 8, 8), {})


def test_what_a_measuring_process_is_asked_and_answers_is_the_same_on_both_sides(tmp_path: Path) -> None:
    for reference in (None, tmp_path / "fp32.onnx"):
        request = ProbeRequest(
            tmp_path / "net.onnx", ("x", "{}"), tmp_path / "x.npz", 300, {"session.option": "1"}, reference
        )
        assert request_in(request.as_json()) == request
    for ratio in (None, 0.25):
        figures = ProbeFigures(0.5, 0.75, 1.5, ratio)
        assert figures_in(figures.as_json()) == figures


@pytest.mark.parametrize("text", ["", "{", "{}", "1", '{"p50": 1, "p95_ms": 1, "peak_rss_mb": 1}'])
def test_other_last_words_are_no_figures(text: str) -> None:
    with pytest.raises(ValueError):
        figures_in(text)


def test_session_entries_that_no_device_takes_are_refused_at_the_build(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'session\.load_model_format' is not allowed; allowed are session\."):
        GraphSession(tmp_path / "model.onnx", {"session.load_model_format": "ORT"})


def test_what_else_the_host_does_makes_no_variant_slow(tmp_path: Path) -> None:
    model = wide_model(tmp_path / "wide.onnx", 24)
    quiet = probe(model, zeros("x", 3, 24, 24), {})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        busy = probe(model, zeros("x", 3, 24, 24), {})
    finally:
        for other in others:
            other.kill()
            other.wait()
    # Caches are shared, so it is not the same; by the clock, the slowest runs take 10 to 100 times as long.
    assert busy.p95_ms < 5 * quiet.p50_ms


@pytest.mark.parametrize(("call_s", "calls"), [(0.001, 20), (0.03, 7), (0.05, 4), (1.0, 4)])
def test_a_round_of_a_slow_network_has_fewer_calls(call_s: float, calls: int) -> None:
    now_ns = 0

    class Slow:
        def run(self, feed: object) -> None:
            nonlocal now_ns
            now_ns += round(call_s * 1e9)

    session = cast(ModelSession, Slow())
    assert len(_calls(session, {}, lambda: now_ns, LEAST_CALLS, ROUND_CALLS)) == calls
