"""What the agent may weigh: nothing of the controller's, and in the supervisor neither numpy nor onnxruntime."""

import subprocess
import sys

NEVER = {
    *("torch", "fastapi", "uvicorn", "sqlite_utils", "typer", "rich", "httpx", "onnx"),
    *("edgefleet_compression", "edgefleet_controller"),
}


def imported_by(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in told.stdout.split()}


SUPERVISOR = "import edgefleet_agent.__main__, edgefleet_agent.session, edgefleet_agent.status"


def test_the_supervisor_imports_nothing_of_the_controllers_and_neither_numpy_nor_onnxruntime() -> None:
    assert not imported_by(SUPERVISOR) & (NEVER | {"numpy", "onnxruntime"})


def test_the_worker_imports_nothing_of_the_controllers_and_no_message_library() -> None:
    # Its memory is paid once for every model that is warm.
    assert not imported_by("import edgefleet_agent.worker_main") & (NEVER | {"paho", "pydantic", "sqlite3"})
