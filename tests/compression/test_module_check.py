"""A built-in architecture and its weights are checked when they are added, and a version that is refused stays free."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.plain import PlainClient
from tests.service import api_of, running_service

from edgefleet_compression.networks.architectures import build
from edgefleet_contract.card import CARD_FILE
from edgefleet_contract.errors import CardError
from edgefleet_operator.errors import Invalid, UnusableFile

pytestmark = pytest.mark.torch
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainClient]:
    with (
        running_service(tmp_path_factory.mktemp("module-check") / "state") as service,
        api_of(service) as address,
        closing(PlainClient(address)) as opened,
    ):
        yield opened


class Folder:
    """A copy of the tiny model's folder, to be spoiled."""

    def __init__(self, source: Path, own: Path) -> None:
        self.path = own
        own.mkdir()
        for file in source.iterdir():
            (own / file.name).write_bytes(file.read_bytes())

    def weights(self, change: Callable[[Tensors], Tensors]) -> None:
        tensors = change(load_file(self.path / "weights.safetensors"))
        self.file("weights.safetensors", lambda path: save_file({n: t.contiguous() for n, t in tensors.items()}, path))

    def file(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.path / name
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        write(path)
        self.card(before, hashlib.sha256(path.read_bytes()).hexdigest())

    def card(self, old: str, new: str) -> None:
        card = self.path / CARD_FILE
        assert old in card.read_text()
        card.write_text(card.read_text().replace(old, new))


def other_network(_: Tensors) -> Tensors:
    return dict(build("ds_cnn", {}, (1, 8, 8), 3).state_dict())


def ten_classes(_: Tensors) -> Tensors:
    return dict(build("resnet_s", {}, (1, 8, 8), 10).state_dict())


def three_channels(_: Tensors) -> Tensors:
    return dict(build("resnet_s", {}, (3, 8, 8), 3).state_dict())


def infinite(tensors: Tensors) -> Tensors:
    return tensors | {"head.bias": torch.full((3,), float("inf"))}


def overflowing(tensors: Tensors) -> Tensors:
    return tensors | {"head.weight": torch.full_like(tensors["head.weight"], 3e38), "head.bias": torch.full((3,), 3e38)}


FOREIGN: list[tuple[Callable[[Tensors], Tensors], str]] = [
    (other_network, "the weights don't fit the architecture (Unexpected key(s)"),
    (ten_classes, "the weights answer 10 classes, and there are 3 labels: correct one of them"),
    (three_channels, "'resnet_s' with these weights does not take samples [1, 8, 8]"),
    (infinite, "the weight 'head.bias' holds values that are not finite"),
    (overflowing, "the model's answer to 16 of the first 16 samples of val is not finite"),
]


@pytest.mark.parametrize(("change", "reason"), FOREIGN)
def test_foreign_weights_are_refused_and_the_version_stays_free(
    change: Callable[[Tensors], Tensors], reason: str, client: PlainClient, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = Folder(tiny_folder, tmp_path / "tiny")
    folder.weights(change)
    with pytest.raises(Invalid) as refused:
        client.add_model(folder.path)
    assert reason in str(refused.value)
    assert "tiny@1" not in [model["model"] for model in client.items("/models")]


def test_an_unknown_architecture_is_refused_with_those_that_exist(
    client: PlainClient, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = Folder(tiny_folder, tmp_path / "tiny")
    folder.card("resnet_s", "mobilenet_v2")
    with pytest.raises(Invalid, match=r"no architecture 'mobilenet_v2' is built in: use one of resnet_s, ds_cnn"):
        client.add_model(folder.path)
    assert not list(client.items("/models"))


def test_a_file_that_is_no_safetensors_is_refused(client: PlainClient, tiny_folder: Path, tmp_path: Path) -> None:
    folder = Folder(tiny_folder, tmp_path / "tiny")
    folder.file("weights.safetensors", lambda path: path.write_bytes(b"weights"))
    with pytest.raises((Invalid, UnusableFile, CardError), match="this is not a safetensors file"):
        client.add_model(folder.path)


def test_weights_and_data_are_refused_together(client: PlainClient, tiny_folder: Path, tmp_path: Path) -> None:
    folder = Folder(tiny_folder, tmp_path / "tiny")
    folder.weights(ten_classes)
    x: Any = np.zeros((12, 1, 8, 8), np.uint8)
    folder.file("data.npz", lambda path: np.savez_compressed(path, x_val=x, y_val=np.full(12, 7)))
    with pytest.raises(Invalid, match="3 things are wrong") as refused:
        client.add_model(folder.path)
    for fault in ("answer 10 classes", "y_val must hold one label from 0 to 2", "has no x_test and no y_test"):
        assert fault in str(refused.value)


def test_what_fits_is_taken_after_all_refusals(client: PlainClient, tiny_folder: Path) -> None:
    assert client.add_model(tiny_folder)["model"] == "tiny@1"
