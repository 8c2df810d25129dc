"""A tiny model that the compression tests build variants of: real architecture, 8x8 pictures, three classes."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.compression.contexts import context_in
from tests.once import once

from edgefleet_contract.card import ModelCard, load_card

CARD = """
name = "tiny"
labels = ["left", "middle", "right"]
[architecture]
name = "resnet_s"
[weights]
file = "weights.safetensors"
sha256 = "{weights}"
[data]
file = "data.npz"
sha256 = "{data}"
[input]
shape = [1, 8, 8]
[golden]
samples = 8
"""
COUNTS = {"train": 192, "calib": 64, "val": 64, "test": 64}


def pictures(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Noise with one bright bar; which third of the picture holds it is the label."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 120, (count, 1, 8, 8), dtype=np.uint8)
    y = random.integers(0, 3, count)
    for picture, label in zip(x, y, strict=True):
        picture[0, :, label * 3 : label * 3 + 2] = 255
    return x, y


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str, needs_torch: None) -> Path:
    """The folder of the tiny model."""
    return once(tmp_path_factory, worker_id, "tiny", _train) / "model"


def _train(into: Path) -> None:
    """The tiny model, its source trained for a moment."""
    import torch
    from safetensors.torch import save_file

    from edgefleet_compression.networks.architectures import build
    from edgefleet_compression.step_settings import TrainConfig
    from edgefleet_compression.training import Corpus, fit

    torch.set_num_threads(1)
    folder = into / "model"
    folder.mkdir()
    arrays = {}
    for seed, (split, count) in enumerate(COUNTS.items()):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = pictures(count, seed)
    np.savez_compressed(folder / "data.npz", **arrays)  # type: ignore[arg-type]
    module = build("resnet_s", {}, (1, 8, 8), 3, seed=7)
    corpus = Corpus(torch.from_numpy(arrays["x_train"]).float() / 255, torch.from_numpy(arrays["y_train"]), None)
    settings = TrainConfig(epochs=3, batch=32, rate=3e-3, flip=False)
    fit(module, module.parameters(), corpus, settings, 0, lambda share, text: None)
    save_file({name: t.contiguous() for name, t in module.state_dict().items()}, folder / "weights.safetensors")
    digests = {
        "weights": hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
        "data": hashlib.sha256((folder / "data.npz").read_bytes()).hexdigest(),
    }
    (folder / "model.toml").write_text(CARD.format(**digests))


@pytest.fixture(scope="session")
def tiny_card(tiny_folder: Path) -> ModelCard:
    """The tiny model's card."""
    return load_card(tiny_folder)


@pytest.fixture(scope="session")
def tiny_files(tiny_folder: Path, tiny_card: ModelCard) -> dict[str, Path]:
    """The tiny model's files, by their names in its folder."""
    return {name: tiny_folder / name for name in ("model.toml", *tiny_card.files)}


@pytest.fixture
def context(tiny_files: dict[str, Path], tmp_path: Path) -> Any:
    """What a single step runs with."""
    return context_in(tmp_path, tiny_files)


@pytest.fixture(scope="session")
def tiny_onnx(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The tiny model's source as an ONNX file: an export takes seconds, and is the same for every test."""

    def make(folder: Path) -> None:
        from edgefleet_compression.steps import export

        context = context_in(folder, tiny_files)
        export.run(context.source.state, export.ExportConfig(), context).state.path.rename(folder / "tiny.onnx")

    return once(tmp_path_factory, worker_id, "tiny-onnx", make) / "tiny.onnx"


@pytest.fixture
def exported(tiny_onnx: Path) -> Any:
    """The tiny model as a step takes it that takes a file."""
    from edgefleet_compression.models.states import OnnxState

    return OnnxState(tiny_onnx)
