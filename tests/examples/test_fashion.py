"""The example model is the one its card describes, to the digit."""

import hashlib
import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.parting import mostly_slow

from edgefleet_compression.models.splits.data import Data
from edgefleet_contract.card import ModelCard, load_card

FOLDER = Path(__file__).parents[2] / "examples" / "fashion"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """Reading it checks the sha256 of weights and data."""
    return load_card(FOLDER)


@pytest.fixture(scope="module")
def pins(card: ModelCard) -> dict[str, Any]:
    return card.pins


@pytest.fixture(scope="module")
def model(card: ModelCard, needs_torch: None) -> Any:
    import torch

    from edgefleet_compression.models.states import torch_state

    torch.set_num_threads(1)
    args = card.architecture.name, card.architecture.args, card.input.shape, len(card.labels)
    return torch_state(*args, FOLDER / card.weights.file)


@pytest.fixture(scope="module")
def make_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data", FOLDER / "make_data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accuracy(model: Any, x: Any, y: Any, card: ModelCard) -> float:
    import torch

    model.module.eval()
    with torch.inference_mode():
        parts = torch.from_numpy(x).split(500)
        answers = torch.cat([model.module(part.float() * card.preprocessing.scale).argmax(1) for part in parts])
    return float((answers.numpy() == y).mean())


def test_the_source_model_has_the_accuracy_that_was_asked_of_it(pins: dict[str, Any]) -> None:
    assert pins["test_accuracy"] >= 0.915
    assert (pins["train_samples"], pins["val_samples"], pins["test_samples"]) == (55_000, 5_000, 10_000)


def test_the_network_has_the_pinned_size(model: Any, pins: dict[str, Any]) -> None:
    assert model.parameters() == pins["parameters"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_committed_weights_reach_the_pinned_accuracy_on_committed_data(
    split: Any, card: ModelCard, model: Any, pins: dict[str, Any]
) -> None:
    data = Data(FOLDER / card.data.file, card.input.shape, len(card.labels)).split(split)
    assert len(data.x) == pins["committed"][f"{split}_samples"]
    # Another processor may round a logit the other way: one picture's worth of difference is none.
    found = accuracy(model, data.x, data.y, card)
    assert found == pytest.approx(pins["committed"][f"{split}_accuracy"], abs=1.01 / len(data.x))


def test_the_committed_splits_have_the_pinned_counts_and_calib_begins_train(
    card: ModelCard, pins: dict[str, Any], make_data: ModuleType
) -> None:
    data = Data(FOLDER / card.data.file, card.input.shape, len(card.labels))
    counts = {name: len(data.split(name).x) for name in make_data.COMMITTED}
    assert counts == make_data.COMMITTED
    assert counts == {name: pins["committed"][f"{name}_samples"] for name in counts}
    np.testing.assert_array_equal(data.split("calib").x, data.split("train").x[:256])


def test_no_committed_picture_is_in_two_splits(card: ModelCard) -> None:
    data = Data(FOLDER / card.data.file, card.input.shape, len(card.labels))
    names: list[Any] = ["train", "val", "test"]
    pictures = [{x.tobytes() for x in data.split(name).x} for name in names]
    assert sum(map(len, pictures)) == len(set.union(*pictures))


def test_the_card_gives_every_kind_of_link_a_constraint_that_can_be_met(card: ModelCard) -> None:
    from edgefleet_profiles.profile import constraints_for

    assert constraints_for("eu/rpi4/nb-2g", card.constraints).transfer_s == 15
    assert constraints_for("eu/rpi4/wifi", card.constraints).max_drop == 0.02


def test_the_card_is_shipped_as_it_is_read(card: ModelCard) -> None:
    assert ModelCard.model_validate(tomllib.loads((FOLDER / "model.toml").read_text())) == card


@pytest.mark.torch
def test_the_finetuned_weights_are_the_pinned_ones_and_no_worse(pins: dict[str, Any], card: ModelCard) -> None:
    from edgefleet_compression.models.states import torch_state

    finetuned = pins["finetuned"]
    path = FOLDER / finetuned["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == finetuned["sha256"]
    assert card.architecture is not None
    args = card.architecture.name, card.architecture.args, card.input.shape, len(card.labels)
    data = Data(FOLDER / card.data.file, card.input.shape, len(card.labels)).split("test")
    found = accuracy(torch_state(*args, path), data.x, data.y, card)
    assert found >= pins["committed"]["test_accuracy"] - 0.005


needs_full_data = pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's dataset-fashion-mnist isn't installed")


@needs_full_data
def test_the_full_data_gives_the_committed_file(make_data: ModuleType) -> None:
    arrays = make_data.committed_subset(make_data.full_splits(DEBIAN))
    with np.load(FOLDER / "data.npz", allow_pickle=False) as committed:
        assert set(committed.files) == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(committed[name], array, err_msg=name)


@needs_full_data
@pytest.mark.parametrize("split", mostly_slow(["test", "val"], one_in=2))
def test_committed_weights_reach_the_pinned_accuracy_on_the_full_splits(
    split: str, card: ModelCard, model: Any, pins: dict[str, Any], make_data: ModuleType
) -> None:
    x, y = make_data.full_splits(DEBIAN)[split]
    assert len(x) == pins[f"{split}_samples"]
    assert accuracy(model, x, y, card) == pytest.approx(pins[f"{split}_accuracy"], abs=1.01 / len(x))
