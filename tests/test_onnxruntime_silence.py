"""onnxruntime reports to its maker by default: not from a process of ours."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BY_PEER_PROCESS = {
    ROOT / "benchmarks" / "efficientnet" / "control.py",
    ROOT / "benchmarks" / "peers" / "in_onnxruntime.py",
}
"""Run in environments without our packages, by `benchmarks.peers.peer_process`, which sets the variable itself."""
BY_CASES = {ROOT / "benchmarks" / "latency.py"}
"""Imported by `benchmarks.cases` alone."""
RUNNING = {
    "a worker of the agent": """
import sys
from pathlib import Path
from edgefleet_agent.providers import ONE, TINY_MODEL, TWO
from edgefleet_agent.worker_handle import Worker, WorkerSpec
path = Path(sys.argv[1], "model.onnx")
path.write_bytes(TINY_MODEL)
worker = Worker(WorkerSpec(path, {}))
assert worker.ask([{"name": "x", "datatype": "FP32", "shape": [1]}], ONE).data == TWO
worker.kill()
""",
    "a worker of compression": """
from edgefleet_compression.builds.worker_pool import WorkerPool
with WorkerPool(1) as pool:
    assert pool.submit(eval, "__import__('edgefleet_compression.onnx_graphs.session') and True").result()
""",
    "a benchmark": "import benchmarks.cases.onnx_model, benchmarks.latency",
}


def imports_onnxruntime(source: Path) -> bool:
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == "onnxruntime" for name in names):
            return True
    return False


def is_silenced(source: Path) -> bool:
    """Whether a package that is imported before the module calls `silence_onnxruntime`."""
    inits = [folder / "__init__.py" for folder in source.parents if folder.is_relative_to(ROOT)]
    return any("\nsilence_onnxruntime()\n" in init.read_text() for init in inits if init.exists())


def test_no_module_of_ours_imports_onnxruntime_before_it_is_silenced() -> None:
    folders = [init.parent for init in ROOT.glob("*/edgefleet_*/__init__.py")] + [
        ROOT / "benchmarks",
        ROOT / "examples",
    ]
    found = {source for folder in folders for source in folder.rglob("*.py") if imports_onnxruntime(source)}
    assert found >= BY_PEER_PROCESS | BY_CASES
    assert ROOT / "agent" / "edgefleet_agent" / "worker_main.py" in found
    loud = {str(source) for source in found - BY_PEER_PROCESS - BY_CASES if not is_silenced(source)}
    assert not loud, "call silence_onnxruntime() in the __init__ of their package"


@pytest.mark.parametrize("process", RUNNING)
def test_a_process_that_uses_onnxruntime_leaves_nothing_for_its_maker(process: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    around = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "ORT_DISABLE_TELEMETRY": "0"}
    subprocess.run(
        [sys.executable, "-c", RUNNING[process], str(tmp_path)], cwd=ROOT, env=around, check=True, timeout=120
    )
    assert not [path for path in home.rglob("*") if "onnxruntime" in path.name or path.name == "Microsoft"]
