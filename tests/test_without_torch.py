"""What `--without-torch` leaves out, runs and says, shown on a suite of its own, for a library that is nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = """
import pytest
from tests import without_torch

without_torch.TORCH = ("nowhere",)
pytest_addoption, pytest_configure = without_torch.add_options, without_torch.configure


@pytest.fixture(scope="session")
def needs_torch(): ...


@pytest.fixture
def torch_python(pytestconfig): return pytestconfig.option.torch_python


@pytest.fixture
def trained(needs_torch): import nowhere


@pytest.fixture
def built(torch_python): assert torch_python
"""
SUITE = {
    "test_none.py": "def test_a(): ...\ndef test_b(): ...",
    "test_one.py": "import pytest\n@pytest.mark.torch\ndef test_c(): import nowhere\ndef test_d(): ...",
    "test_fixture.py": "def test_e(trained): ...\ndef test_f(): ...",
    "test_fleet.py": "def test_g(built): ...",
    "test_file.py": "import nowhere, pytest\npytestmark = [pytest.mark.torch]\ndef test_h(): ...\ndef test_i(): ...",
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    torch: needs it\n    slow: is slow\n")
    for name, text in SUITE.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(suite: Path, *options: str) -> tuple[int, str]:
    """How a run of the suite ends, and its last lines."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={suite}", *options, suite]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_what_needs_torch_is_left_out_and_counted(suite: Path, options: list[str]) -> None:
    code, said = run(suite, "--without-torch", *options)
    assert code == 0, said
    assert "3 tests deselected because they need torch, and 1 file that imports it, with 2 test functions" in said
    assert "4 passed" in said


def test_a_fleet_runs_with_what_another_python_has_built(suite: Path) -> None:
    code, said = run(suite, "--without-torch", "--torch-python=/opt/python")
    assert code == 0, said
    assert "2 tests deselected because they need torch" in said
    assert "5 passed" in said


@pytest.mark.parametrize(
    "text",
    [
        "def test_x(): import nowhere",
        "import nowhere\ndef test_x(): ...",
        "import pytest, nowhere_else\npytestmark = pytest.mark.torch\ndef test_x(): ...",
        "import pytest, nowhere\npytestmark = pytest.mark.slow\ndef test_x(): ...",
    ],
    ids=["a test without the mark", "a file without the mark", "another library", "another mark"],
)
def test_what_needs_torch_and_does_not_say_so_fails(suite: Path, text: str) -> None:
    (suite / "test_x.py").write_text(text)
    code, said = run(suite, "--without-torch")
    assert code in (1, 2), said
    assert "test_x" in said


def test_a_mark_that_is_not_needed_is_found(suite: Path) -> None:
    code, said = run(suite, "--without-torch", "--prove-torch-marks")
    assert code == 0, said
    (suite / "test_x.py").write_text("import pytest\n@pytest.mark.torch\ndef test_x(): ...")
    code, said = run(suite, "--without-torch", "--prove-torch-marks")
    assert code == 1, said
    assert "FAILED test_x.py::test_x" in said


def test_where_torch_is_the_option_is_refused(suite: Path) -> None:
    (suite / "nowhere.py").touch()
    code, said = run(suite, "--without-torch", "-p", "nowhere")
    assert code == 4, said
    assert "this one has nowhere" in said
