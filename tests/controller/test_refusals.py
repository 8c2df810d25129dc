"""Files whose loading runs code are refused with the reason, under whatever name; nothing of them is kept or run."""

import io
import pickle
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.deep_toml import UNUSABLE
from tests.service import api_of, running_service
from typer.testing import CliRunner

from edgefleet_contract.formats import RUNS_CODE, refuse_pickles
from edgefleet_controller.service import Service
from edgefleet_operator.cli import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion"
TORCH = """
import sys, torch
torch.save({"w": torch.zeros(3)}, sys.argv[1])
torch.save({"w": torch.zeros(3)}, sys.argv[2], _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), sys.argv[3])
"""


OF_TORCH = ("zip.pt", "legacy.pt", "script.pt")


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> Any:
        return Path.touch, (self._sprung,)


@pytest.fixture(scope="module")
def sprung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trap") / "sprung"


@cache
def of_torch(folder: Path) -> dict[str, bytes]:
    # Its modules warn on import and stay loaded: in a process of its own.
    files = [str(folder / name) for name in OF_TORCH]
    subprocess.run([sys.executable, "-W", "ignore", "-c", TORCH, *files], check=True)
    return {name: (folder / name).read_bytes() for name in OF_TORCH}


@pytest.fixture(scope="module")
def dangerous(sprung: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """A file by what it is; torch makes its own when a test first asks for one."""
    folder = tmp_path_factory.mktemp("dangerous")
    found = {}
    for protocol in range(6):
        found[f"pickle {protocol}"] = pickle.dumps({"w": Trap(sprung)}, protocol)
    objects, fields, member = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(objects, x=np.array([Trap(sprung)], dtype=object), y=np.zeros(1))
    np.savez(fields, x=np.array([(1, Trap(sprung))], dtype=[("a", "i4"), ("b", "O")]))
    with zipfile.ZipFile(member, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", pickle.dumps(Trap(sprung)))
    found["objects in an npz"] = objects.getvalue()
    found["objects in the fields of an npz"] = fields.getvalue()
    found["a pickle in an npz"] = member.getvalue()
    return lambda kind: found[kind] if kind in found else of_torch(folder)[kind]


KINDS = [
    *(pytest.param(name, marks=pytest.mark.torch) for name in OF_TORCH),
    *(f"pickle {protocol}" for protocol in range(6)),
    *("objects in an npz", "objects in the fields of an npz", "a pickle in an npz"),
]


class Controller:
    """A service, its API's address, and the operator's command."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url

    def types(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": self.url})
        assert done.stdout == ""
        return done.exit_code, done.stderr

    @property
    def blobs(self) -> set[str]:
        return {name for name, _ in self.service.blobs.written_ms()}

    def keeps_nothing(self) -> None:
        assert self.service.store.fleet.registry.models() == []
        assert httpx.get(f"{self.url}/api/v1/models", timeout=60).json()["items"] == []


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with running_service(tmp_path_factory.mktemp("refusals") / "state") as service, api_of(service) as address:
        yield Controller(service, address)


@pytest.fixture
def disguised(tmp_path: Path, dangerous: Callable[[str], bytes]) -> Callable[[str, str], Path]:
    """A model's folder in which `part` (weights or data) is something dangerous, with its right digest in the card."""

    def make(kind: str, part: str) -> Path:
        card = (EXAMPLE / "model.toml").read_text()
        named = tomllib.loads(card)
        for each in ("weights", "data"):
            file = named[each]["file"]
            data = dangerous(kind) if each == part else (EXAMPLE / file).read_bytes()
            (tmp_path / file).write_bytes(data)
            card = card.replace(named[each]["sha256"], sha256(data).hexdigest())
        (tmp_path / "model.toml").write_text(card)
        return tmp_path

    return make


@pytest.mark.parametrize("part", ["weights", "data"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_disguised_pickle_is_refused_by_the_command_before_anything_is_sent(
    controller: Controller, disguised: Callable[[str, str], Path], sprung: Path, kind: str, part: str
) -> None:
    before = controller.blobs
    code, said = controller.types("model", "add", str(disguised(kind, part)))
    assert (code, said.count("\n")) == (1, 1)
    assert RUNS_CODE in said and "Save weights as safetensors" in said
    assert controller.blobs == before
    controller.keeps_nothing()
    assert not sprung.exists()


@pytest.mark.parametrize("part", ["weights", "data"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_disguised_pickle_is_refused_by_the_api_and_becomes_no_model(
    controller: Controller, disguised: Callable[[str, str], Path], sprung: Path, kind: str, part: str
) -> None:
    files = {}
    for path in disguised(kind, part).iterdir():
        files[path.name] = sha256(path.read_bytes()).hexdigest()
        put = httpx.put(f"{controller.url}/api/v1/blobs/{files[path.name]}", content=path.read_bytes(), timeout=60)
        assert put.status_code == 204
    answer = httpx.post(f"{controller.url}/api/v1/models", json={"files": files}, timeout=60)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert RUNS_CODE in answer.json()["detail"]
    controller.keeps_nothing()
    assert not sprung.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".PT"])
def test_what_is_called_a_pickle_is_refused_in_a_card_as_a_model_and_as_data(
    controller: Controller, disguised: Callable[[str, str], Path], tmp_path: Path, suffix: str
) -> None:
    folder = disguised("pickle 2", "weights")
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("weights.safetensors", f"weights{suffix}"))
    (folder / "weights.safetensors").rename(folder / f"weights{suffix}")
    data = tmp_path / "data.npz"
    onnx = tmp_path / "net.onnx"
    onnx.write_bytes(b"")
    renamed = tmp_path / f"data{suffix}"
    renamed.write_bytes(data.read_bytes())
    for words in (
        ("model", "add", str(folder)),
        ("model", "add", str(folder / f"weights{suffix}")),
        ("model", "add", str(onnx), "--data", str(renamed)),
    ):
        code, said = controller.types(*words)
        assert (code, said.count("\n")) == (1, 1), said
        assert RUNS_CODE in said
    text = card.read_bytes()
    files = {"model.toml": sha256(text).hexdigest()}
    httpx.put(f"{controller.url}/api/v1/blobs/{files['model.toml']}", content=text, timeout=60).raise_for_status()
    answer = httpx.post(f"{controller.url}/api/v1/models", json={"files": files}, timeout=60)
    assert (answer.status_code, RUNS_CODE in answer.json()["detail"]) == (422, True)
    controller.keeps_nothing()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_that_is_called_onnx_is_refused_with_the_reason(
    controller: Controller, tmp_path: Path, dangerous: Callable[[str], bytes], sprung: Path, kind: str
) -> None:
    onnx, data = tmp_path / "net.onnx", tmp_path / "data.npz"
    onnx.write_bytes(dangerous(kind))
    np.savez(data, x=np.zeros((20, 4), np.float32))
    code, said = controller.types("model", "add", str(onnx), "--data", str(data))
    assert (code, said.count("\n")) == (1, 1)
    assert RUNS_CODE in said
    controller.keeps_nothing()
    assert not sprung.exists()


def test_a_file_that_is_no_model_is_refused_with_what_to_give(controller: Controller, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    code, said = controller.types("model", "add", str(tmp_path / "notes.txt"))
    assert (code, "give the folder of a model, or an ONNX file" in said) == (1, True)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_card_that_nobody_can_work_with_is_refused(controller: Controller, kind: str) -> None:
    text = UNUSABLE[kind].encode()
    files = {"model.toml": sha256(text).hexdigest()}
    httpx.put(f"{controller.url}/api/v1/blobs/{files['model.toml']}", content=text, timeout=60).raise_for_status()
    answer = httpx.post(f"{controller.url}/api/v1/models", json={"files": files}, timeout=60)
    assert (answer.status_code, "model.toml is not TOML" in answer.json()["detail"]) == (422, True)


def test_sound_files_are_no_pickles(tmp_path: Path) -> None:
    """Or this page would hold for a controller that refuses everything."""
    plain = tmp_path / "plain.npz"
    np.savez_compressed(plain, x=np.zeros((3, 2), np.uint8), y=np.zeros(3, np.int64), s=np.array(["O", "a"]))
    for path in (plain, EXAMPLE / "weights.safetensors", EXAMPLE / "data.npz"):
        refuse_pickles(path.name, path)
    for number, data in enumerate(
        (b"", b".", b"N.", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff(", b"\x08\x07")
    ):
        (tmp_path / f"{number}.onnx").write_bytes(data)
        refuse_pickles(f"{number}.onnx", tmp_path / f"{number}.onnx")
