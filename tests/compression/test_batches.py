"""How many samples a graph is asked at once: by the bytes they take, not by their number."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx import helper as oh

from edgefleet_compression.onnx_graphs.activations import observe
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.batches import MOST_BYTES, answering, fitting, live_bytes, sizes
from edgefleet_compression.samples import Column, Samples
from edgefleet_protocol.signature import Signature, Tensor

PEAK = """
import resource, sys
from pathlib import Path
import numpy as np, onnx
from edgefleet_compression.onnx_graphs.activations import observe
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.samples import Column, Samples
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_protocol.signature import Signature, Tensor

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

path, x = Path(sys.argv[1]), np.ones((128, 3, 96, 96), np.float32)
GraphSession(path).answers(x[:1], 1.0)
before = peak()
GraphSession(path).answers(x, 1.0)
signature = Signature((Tensor("x", "FP32", (None, 3, 96, 96)),), (Tensor("y", "FP32", (None, 4)),))
observe(onnx.load(path), Asked(Samples({"x": Column(x)}), signature, True))
print(peak() - before)
"""


def wide_model(path: Path, side: int) -> Path:
    """Small as a file, large on its way: 32 channels at the full size of the picture, twice."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s).astype(np.float32) for s in ((32, 3, 3, 3), (32, 32, 3, 3), (32, 4))]
    inits = [onnx.numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    nodes = [
        oh.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        oh.make_node("Relu", ["a"], ["b"]),
        oh.make_node("Conv", ["b", "w1"], ["c"], pads=[1, 1, 1, 1]),
        oh.make_node("GlobalAveragePool", ["c"], ["d"]),
        oh.make_node("Flatten", ["d"], ["e"]),
        oh.make_node("MatMul", ["e", "w2"], ["y"]),
    ]
    given = oh.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, side, side])
    answer = oh.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    graph = oh.make_graph(nodes, "wide", [given], [answer], inits)
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_batch_holds_as_many_samples_as_fit_and_at_least_one() -> None:
    assert fitting(1000, 250) == 250
    assert fitting(MOST_BYTES // 8, 250) == 8
    assert fitting(10 * MOST_BYTES, 250) == 1
    assert fitting(0, 250) == 250


def test_a_tensor_counts_from_the_node_that_gives_it_to_the_last_that_reads_it(tmp_path: Path) -> None:
    model = onnx.load(wide_model(tmp_path / "m.onnx", 16))
    found = sizes(model, {"x": np.ones((1, 3, 16, 16), np.float32)})
    plane = 32 * 16 * 16 * 4
    assert (found["a"], found["d"], found["y"]) == (plane, 32 * 4, 4 * 4)
    # `a` and `b` live together, then `b` and `c`; never all three.
    assert live_bytes(model.graph, found) == 2 * plane


def test_large_pictures_make_small_batches(tmp_path: Path) -> None:
    many = answering(wide_model(tmp_path / "s.onnx", 8), {"x": np.ones((1, 3, 8, 8), np.float32)}, 250)
    few = answering(wide_model(tmp_path / "l.onnx", 256), {"x": np.ones((1, 3, 256, 256), np.float32)}, 250)
    assert (many, few) == (250, 1)


def test_looking_at_all_activations_takes_little_memory(tmp_path: Path) -> None:
    # All 128 at once would take three planes of 1.2 MB each: 450 MB in the session alone, more while watched.
    path = wide_model(tmp_path / "m.onnx", 96)
    run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 200, f"{run.stdout} MB"


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.INT4])
def test_what_numpy_has_no_type_for_is_passed_over(kind: int) -> None:
    nodes = [
        oh.make_node("Cast", ["x"], ["small"], to=kind),
        oh.make_node("Cast", ["small"], ["back"], to=TensorProto.FLOAT),
        oh.make_node("Relu", ["back"], ["y"]),
    ]
    ends = [[oh.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4])] for name in "xy"]
    graph = oh.make_graph(nodes, "g", *ends)
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert sizes(model, {"x": x[:1]}) == {"back": 16, "y": 16}
    signature = Signature((Tensor("x", "FP32", ("N", 4)),), (Tensor("y", "FP32", ("N", 4)),))
    seen = observe(model, Asked(Samples({"x": Column(x)}), signature, True))
    assert sorted(seen) == ["back", "x", "y"]
