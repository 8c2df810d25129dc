"""Figures mean what their names say."""

from pathlib import Path

import pytest

from edgefleet_compression.errors import MeasureError
from edgefleet_compression.measuring.host import host, read_cpuinfo
from edgefleet_compression.measuring.measure import probe, wilson


@pytest.mark.parametrize(
    ("hits", "samples", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1860, 2000, 0.9180, 0.9404)],
)
def test_the_interval_is_wilsons(hits: int, samples: int, low: float, high: float) -> None:
    assert wilson(hits, samples) == pytest.approx((low, high), abs=5e-5)


def test_the_first_processor_of_cpuinfo_is_read() -> None:
    text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: B\n"
    assert read_cpuinfo(text) == {"processor": "0", "model name": "A CPU @ 2 GHz", "flags": "fpu avx2"}


def test_the_host_has_a_name_and_an_instruction_set() -> None:
    name, instruction_set = host()
    assert name and instruction_set


def test_a_file_that_does_not_run_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(MeasureError, match="the variant doesn't run in onnxruntime"):
        probe(tmp_path / "broken.onnx", (1, 8, 8), {})
