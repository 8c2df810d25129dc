"""A variant is measured on the execution provider that it names, if this host has it, and figures say what ran."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.agent.provider_plugins import CPU, OPENVINO, bring_openvino, needs_openvino
from tests.agent.variants import linear_model

from edgefleet_compression.measuring.measure import probe
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_protocol.runtime_options import with_providers


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(linear_model(1, 0, False))
    return tmp_path / "model.onnx"


def test_what_this_host_does_not_have_is_measured_on_the_cpu_and_filed_so(model: Path) -> None:
    session = GraphSession(model, with_providers(("QNNExecutionProvider", CPU)))
    assert session.provider == GraphSession(model).provider == CPU


ASK = """
import sys
from pathlib import Path
import numpy as np
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_protocol.runtime_options import with_providers
path, name = Path(sys.argv[1]), sys.argv[2]
x = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
session = GraphSession(path, with_providers((name,)))
np.testing.assert_allclose(session.run(x), GraphSession(path).run(x), rtol=1e-5, atol=1e-5)
print(session.provider)
"""


@needs_openvino
def test_a_provider_that_is_here_answers_and_is_timed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_openvino(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    said = subprocess.run([sys.executable, "-c", ASK, model, OPENVINO], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == OPENVINO
    figures = probe(model, {"x": np.zeros((1, 16), np.float32)}, with_providers((OPENVINO, CPU)), model)
    assert figures.p50_ms > 0 and (figures.latency_ratio or 0) > 0
