"""Distributions that bring steps or tasks, made and installed as any other is, without a network."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

GROUP = "edgefleet.steps"
SHORT_FLOATS = Path(__file__).parent / "plugin"
MINIMAL = """
from edgefleet_compression.step import FILE, NotSearched, Step, StepConfig
STEP = Step(name="{name}", config=StepConfig, consumes=FILE, produces=None, technique=None,
            search=NotSearched("it is an example"))
def run(state, config, context):
    {body}
"""


def minimal(name: str, body: str = "raise NotImplementedError") -> str:
    """The text of a module that holds a step."""
    return MINIMAL.format(name=name, body=body)


def wheel(
    folder: Path, name: str, version: str, steps: Mapping[str, str], modules: Mapping[str, str], group: str = GROUP
) -> Path:
    """A wheel of modules, by their names and texts, with the entry points of its steps, or of another group."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    entries = "\n".join(f"{step} = {value}" for step, value in steps.items())
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for module, text in modules.items():
            file.writestr(f"{module}.py", text)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", f"[{group}]\n{entries}\n")
        file.writestr(f"{info}/RECORD", "".join(f"{entry},,\n" for entry in (*file.namelist(), f"{info}/RECORD")))
    return path


def wheel_of(project: Path, folder: Path, group: str = GROUP) -> Path:
    """The wheel of a project whose modules lie beside its pyproject.toml."""
    told = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    modules = {path.stem: path.read_text() for path in project.glob("*.py")}
    return wheel(folder, told["name"], told["version"], told["entry-points"][group], modules, group)


def pip_install(path: Path, target: Path) -> None:
    """Install a wheel into a folder."""
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(path)], check=True, timeout=120)


def unpack(path: Path, target: Path) -> None:
    """The same for a wheel of nothing but modules, sooner."""
    with zipfile.ZipFile(path) as file:
        file.extractall(target)
