"""No program of ours runs what lies in the folder where it was started."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgefleet_process.children import SAFE_PATH, run_module, spawned

ROOT = Path(__file__).parents[2]
SEAM = ROOT / "process" / "edgefleet_process" / "children.py"
PLANTED = ("json", "numpy", "onnxruntime", "pickle", "psutil", "compression", "resource", "argparse", "csv")
PARENTS = {
    "a worker of the agent": """
from pathlib import Path
from edgefleet_agent.preflight import TINY_MODEL
from edgefleet_agent.worker_handle import Worker, WorkerSpec
Path("model.onnx").write_bytes(TINY_MODEL)
Worker(WorkerSpec(Path("model.onnx"), {})).kill()
""",
    "a worker of compression": """
from edgefleet_compression.builds.worker_pool import WorkerPool
with WorkerPool(1) as pool:
    assert pool.submit(eval, "__import__('numpy').arange(3).sum()").result() == 3
""",
}


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of modules that leave a mark when they are imported."""
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / f'{name}.ran')!r}, 'w'); raise SystemExit(77)")
    return tmp_path


def ran(trap: Path) -> list[str]:
    return sorted(path.stem for path in trap.glob("*.ran"))


def test_the_trap_works(trap: Path) -> None:
    assert subprocess.run([sys.executable, "-m", "this_is_missing"], cwd=trap, check=False).returncode
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=trap, check=False)
    assert ran(trap) == ["numpy"]


@pytest.mark.parametrize("parent", PARENTS.values(), ids=PARENTS.keys())
def test_a_child_imports_nothing_from_the_current_folder(trap: Path, parent: str) -> None:
    (trap / "parent").mkdir()
    (trap / "parent" / "started_by_path.py").write_text(f"if __name__ == '__main__':{parent}".replace("\n", "\n    "))
    done = subprocess.run(
        [sys.executable, str(trap / "parent" / "started_by_path.py")],
        cwd=trap,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, ran(trap)) == (0, []), done.stderr


@pytest.mark.parametrize("program", ["edgefleet_agent", "edgefleet_operator"])
@pytest.mark.parametrize("command", [[sys.executable, "-m"], run_module("")[:-1]], ids=["by hand", "as a child"])
def test_a_program_imports_nothing_from_the_current_folder(trap: Path, program: str, command: list[str]) -> None:
    done = subprocess.run(
        [*command, program, "--version"], cwd=trap, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, ran(trap)) == (0, []), done.stderr


def test_only_the_seam_starts_a_python() -> None:
    sources = {path for package in ROOT.glob("*/edgefleet_*") for path in package.rglob("*.py")} - {SEAM}
    assert len(sources) > 100
    found = {f"{path.relative_to(ROOT)}: {way}" for path in sources for way in ways_around(path)}
    assert found == set(), "use edgefleet_process.children"


def ways_around(path: Path) -> set[str]:
    """The expressions of a module that name this Python, or another way to start one."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute | ast.Name)]
    ends = ("sys.executable", "get_context", "multiprocessing.Process", "ProcessPoolExecutor", "os.fork")
    return {way for node in nodes if (way := ast.unparse(node)).endswith(ends)}


def test_whoever_starts_a_worker_keeps_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SAFE_PATH, raising=False)
    process = spawned(len, ())
    process.join()
    assert (process.exitcode, SAFE_PATH in os.environ) == (0, False)
