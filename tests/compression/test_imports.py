"""What the controller imports stays light: torch and its like load in workers only."""

import re
import subprocess
import sys
from pathlib import Path

import edgefleet_controller

HEAVY = {"torch", "onnx", "onnxruntime", "torch_pruning", "safetensors"}
IMPORT_ALL = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    if brought := %r & sys.modules.keys():
        sys.exit(f"{module} brings {brought}")
"""


def test_no_module_that_the_controller_imports_brings_a_heavy_library() -> None:
    sources = Path(edgefleet_controller.__file__).parent.rglob("*.py")
    modules = {m for source in sources for m in re.findall(r"edgefleet_compression\.[\w.]+", source.read_text())}
    code = IMPORT_ALL % HEAVY
    done = subprocess.run([sys.executable, "-c", code, *sorted(modules)], capture_output=True, text=True)
    assert len(modules) > 10 and done.returncode == 0, done.stderr
