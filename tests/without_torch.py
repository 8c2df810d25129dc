"""`--without-torch`: what a Python that has no torch runs of the suite, and what it leaves out, counted.

A test needs torch if it, its class or its file bears the mark `torch`, or if it uses a fixture that asks, itself or
through others, for the fixture `needs_torch`. Such tests are left out. One that needs torch and doesn't say so fails,
since there is none; with `--prove-torch-marks` one that says so and needs none fails too.

Fleets need no torch, only models that somebody has built: another Python, which has it, does so if `--torch-python`
names one.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TORCH = ("torch", "torchao", "torch_pruning", "onnxscript")
PROOF = pytest.mark.xfail(strict=True, reason="bears the mark torch")


def add_options(parser: pytest.Parser) -> None:
    """The command line's options."""
    group = parser.getgroup("edgefleet")
    group.addoption("--without-torch", action="store_true", help="leave out what needs torch, and count it")
    group.addoption("--torch-python", help="a Python with torch and edgefleet, which builds what fleets run")
    group.addoption(
        "--prove-torch-marks", action="store_true", help="without torch, run what is marked torch: it must fail"
    )


def configure(config: pytest.Config) -> None:
    """Leave tests out if the command line says so."""
    if config.option.without_torch:
        if there := [name for name in TORCH if importlib.util.find_spec(name)]:
            raise pytest.UsageError(f"--without-torch is for a Python without it; this one has {', '.join(there)}")
        config.pluginmanager.register(WithoutTorch(config), "without-torch")


class WithoutTorch:
    """Leaves out tests that need torch."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.tests = 0
        self.unread: dict[str, int] = {}
        """By file, the test functions of those that cannot be imported without torch."""

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module:
        """A file that counts what it cannot import."""
        module: TorchModule = TorchModule.from_parent(parent, path=module_path)
        module.unread = self.unread
        return module

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Deselect what is marked, or expect that it fails."""
        marked = [item for item in items if self._needs_torch(item)]
        if self._config.option.prove_torch_marks:
            for item in marked:
                item.add_marker(PROOF)
            return
        self.tests = len(marked)
        self._config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if not self._needs_torch(item)]

    def _needs_torch(self, item: pytest.Item) -> bool:
        used = set(getattr(item, "fixturenames", ()))
        lacking = {"needs_torch"} if self._config.option.torch_python else {"needs_torch", "torch_python"}
        return item.get_closest_marker("torch") is not None or bool(used & lacking)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """A process of pytest-xdist tells the one that prints."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["without_torch"] = (self.tests, self.unread)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """All processes collect the same tests: any of them tells it all."""
        self.tests, self.unread = getattr(node, "workeroutput", {}).get("without_torch", (self.tests, self.unread))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was left out."""
        told = f"{self.tests} tests deselected because they need torch"
        if self.unread:
            files = "1 file that imports it" if len(self.unread) == 1 else f"{len(self.unread)} files that import it"
            told += f", and {files}, with {sum(self.unread.values())} test functions"
        terminalreporter.write_line(told)


class TorchModule(pytest.Module):
    """A file of tests that may bear the mark `torch` and then need not be importable."""

    unread: dict[str, int]

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """The file's tests; none if it lacks torch, and says that it needs it."""
        try:
            yield from super().collect()
        except self.CollectError as error:
            lacks = error.__cause__
            tree = ast.parse(self.path.read_bytes())
            if not (isinstance(lacks, ModuleNotFoundError) and lacks.name in TORCH and marks_itself(tree)):
                raise
            self.unread[self.nodeid] = sum(
                isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in ast.walk(tree)
            )


def marks_itself(tree: ast.Module) -> bool:
    """Whether a file's `pytestmark` has the mark `torch`."""
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id == "pytestmark" for name in node.targets)
        and "pytest.mark.torch" in ast.unparse(node.value)
        for node in tree.body
    )
