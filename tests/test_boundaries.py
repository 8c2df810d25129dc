"""What must never be loaded, in a process of its own."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgefleet_controller.commands import NEEDED

ROOT = Path(__file__).parents[1]

AGENT_NEVER = ("torch", "onnx", "fastapi", "uvicorn", "sqlite_utils", "typer", "rich", "httpx")
OURS_NEVER = ("edgefleet_contract", "edgefleet_compression", "edgefleet_controller", "edgefleet_operator")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_the_agents_supervisor_loads_neither_the_controllers_packages_nor_a_runtime() -> None:
    loaded = loaded_by("import edgefleet_agent.__main__, edgefleet_agent.session, edgefleet_agent.status")
    assert "edgefleet_agent.session" in loaded
    assert loaded.isdisjoint({*AGENT_NEVER, *OURS_NEVER, "edgefleet_tasks", "numpy", "onnxruntime"})


def test_the_agents_worker_loads_the_runtime_and_nothing_of_the_controllers() -> None:
    loaded = loaded_by("import edgefleet_agent.worker_main, onnxruntime")
    assert loaded.isdisjoint({*AGENT_NEVER, *OURS_NEVER})


def test_a_task_loads_numpy_and_plain_values_so_that_a_worker_stays_light() -> None:
    loaded = loaded_by("from edgefleet_tasks.registry import task_named; task_named('classification')")
    assert "edgefleet_tasks.tasks.classification" in loaded
    assert loaded.isdisjoint({*AGENT_NEVER, *OURS_NEVER, "onnxruntime", "pydantic", "edgefleet_profiles"})


def test_the_contract_loads_pydantic_and_the_two_packages_below_it() -> None:
    names = [path.stem for path in (ROOT / "contract" / "edgefleet_contract").glob("[a-z]*.py")]
    loaded = loaded_by(f"import {', '.join(f'edgefleet_contract.{name}' for name in names)}")
    ours = {name.partition(".")[0] for name in loaded if name.startswith("edgefleet_")}
    assert ours == {"edgefleet_contract", "edgefleet_profiles", "edgefleet_protocol"}
    assert loaded.isdisjoint({*AGENT_NEVER, "numpy", "onnxruntime", "paho", "psutil"})


def test_the_operators_side_loads_neither_a_server_nor_what_computes() -> None:
    loaded = loaded_by("import edgefleet_operator.cli, edgefleet_operator.client")
    server = {"fastapi", "starlette", "uvicorn", "sqlite_utils", "paho", "torch", "onnx", "onnxruntime", "numpy"}
    assert loaded.isdisjoint({*server, "edgefleet_controller", "edgefleet_compression", "edgefleet_agent"})


@pytest.mark.parametrize(
    "module",
    ["edgefleet_controller.commands", "edgefleet_controller.service", "edgefleet_controller.serve"],
)
def test_the_controllers_process_never_loads_torch(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert loaded.isdisjoint({"torch", "torchao", "torch_pruning", "onnx", "onnxruntime"})


def test_a_base_install_names_the_extra_that_the_operators_command_needs() -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'typer' else real(name, package)\n"
        "from edgefleet_operator.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "for the command line: pip install 'edgefleet[operator]'" in done.stderr
    assert "for a controller: pip install 'edgefleet[controller,compression]'" in done.stderr


@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        (["onnx"], "this install lacks onnx: pip install 'edgefleet[onnx]'"),
        (["sqlite_utils"], "this install lacks sqlite_utils: pip install 'edgefleet[controller]'"),
        (["fastapi", "onnx"], "this install lacks fastapi, onnx: pip install 'edgefleet[controller,onnx]'"),
    ],
)
def test_serve_names_what_is_missing_and_the_extras_that_bring_it(hidden: list[str], told: str) -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        f"u.find_spec = lambda name, package=None: None if name in {hidden} else real(name, package)\n"
        "sys.argv[1:] = ['serve', '--state', '/nowhere']\n"
        "from edgefleet_operator.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"edgefleet: {told}\n"


def test_the_extra_that_serve_names_brings_what_is_missing() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, modules in NEEDED.items():
        brought = {canonicalize_name(Requirement(line).name) for line in extras[extra]}
        for module in modules:
            assert brought & set(map(canonicalize_name, packages_distributions()[module])), (
                f"{module}: not in [{extra}]"
            )
