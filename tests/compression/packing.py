"""Types `edgefleet data` as a user does, and reads what it packed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import typer
from typer.testing import CliRunner

from edgefleet_compression import data_commands
from edgefleet_operator.cli.ending import OneLine

# As the command line, which would look for every package's commands each time.
APP = typer.Typer(cls=OneLine)
APP.add_typer(data_commands.app, name="data")


class Packing:
    """The command line in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "packed.npz"

    def types(self, *words: str | Path, code: int = 0) -> str:
        """What the command says."""
        done = CliRunner().invoke(APP, ["data", *map(str, words), "--out", str(self.out)])
        said = done.stdout + done.stderr
        assert done.exit_code == code, said
        if code:
            assert (done.stdout, done.stderr.count("\n")) == ("", 1), said
            assert not list(self.folder.glob(".packed*")), "half a file is left"
        return said

    def packs(self, *words: str | Path) -> dict[str, Any]:
        """What the command tells with --json."""
        told = self.types(*words, "--json", "--force")
        found: dict[str, Any] = json.loads(told)
        return found

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What was packed."""
        with np.load(self.out, allow_pickle=False) as npz:
            return dict(npz)
