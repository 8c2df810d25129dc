"""What the agent may weigh: nothing of the controller's, and in the supervisor neither numpy nor onnxruntime."""

import subprocess
import sys

import pytest

NEVER = {
    *("torch", "fastapi", "uvicorn", "sqlite_utils", "typer", "rich", "httpx", "onnx"),
    *("edgefleet_compression", "edgefleet_controller"),
}


def imported_by(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in told.stdout.split()}


@pytest.mark.parametrize("module", ["__main__", "session", "status", "worker"])
def test_the_agent_imports_nothing_of_the_controllers(module: str) -> None:
    assert not imported_by(f"import edgefleet_agent.{module}") & NEVER


@pytest.mark.parametrize("module", ["__main__", "session", "status", "settings", "facts"])
def test_the_supervisor_imports_neither_numpy_nor_onnxruntime(module: str) -> None:
    assert not imported_by(f"import edgefleet_agent.{module}") & {"numpy", "onnxruntime"}


def test_the_worker_imports_no_message_library() -> None:
    # Its memory is paid once for every model that is warm.
    assert not imported_by("import edgefleet_agent.worker") & {"paho", "pydantic", "sqlite3"}
