"""`model add` remarks labels that the model itself hardly ever answers, whatever it comes as."""

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from tests.compression.brought_models import classifier, data_file, written
from tests.compression.conftest import pictures
from tests.service import api_of, running_service
from typer.testing import CliRunner

from edgefleet_operator.cli import app


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(tmp_path_factory.mktemp("labels") / "state") as service, api_of(service) as address:
        yield address


def remarks(url: str, *words: str) -> list[str]:
    """The lines that `model add` says before the last one, which says that the model is registered; no guesses."""
    done = CliRunner().invoke(app, ["model", "add", *words], env={"EDGEFLEET_API": url, "COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return [line for line in done.stdout.splitlines()[:-1] if not line.startswith("the task is taken to be")]


def assert_said(lines: list[str]) -> None:
    (said,) = lines
    assert "of the first 16 samples of val as they are labelled, no more than by guessing: check the order" in said


def test_labels_that_an_onnx_file_never_answers(url: str, tmp_path: Path) -> None:
    x, y = pictures(600, 3)
    net = str(written(classifier(), tmp_path))
    right, wrong = data_file(tmp_path / "right", x=x, y=y), data_file(tmp_path / "wrong", x=x, y=(y + 1) % 3)
    assert remarks(url, net, "--data", str(right), "--name", "right") == []
    assert_said(remarks(url, net, "--data", str(wrong), "--name", "wrong"))


def test_labels_that_a_built_in_architecture_never_answers(url: str, tiny_folder: Path, tmp_path: Path) -> None:
    plain = remarks(url, str(tiny_folder))
    folder = shutil.copytree(tiny_folder, tmp_path / "wrong")
    with np.load(tiny_folder / "data.npz") as held:
        arrays = {name: (held[name] + 1) % 3 if name.startswith("y_") else held[name] for name in held.files}
    before, after = sha256((folder / "data.npz").read_bytes()).hexdigest(), data_file(folder, **arrays)
    card = (folder / "model.toml").read_text().replace('"tiny"', '"wrong-tiny"')
    (folder / "model.toml").write_text(card.replace(before, sha256(after.read_bytes()).hexdigest()))
    assert_said([line for line in remarks(url, str(folder)) if line not in plain])
