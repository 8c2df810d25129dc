"""Modules are asked and trained as many samples at once as fit, and learn the same whatever fits."""

from typing import Any

import pytest
import torch
from torch import nn

from edgefleet_compression.networks import batches
from edgefleet_compression.networks.batches import (
    KEPT_BYTES,
    answered_at_once,
    answers_of,
    layer_bytes,
    trained_parts,
)
from edgefleet_compression.onnx_graphs.batches import MOST_BYTES
from edgefleet_compression.step_settings import TrainConfig
from edgefleet_compression.training import Corpus, fit

pytestmark = pytest.mark.torch


def network(side: int, width: int = 4, norm: bool = False) -> Any:
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, width, 3, padding=1), *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def test_the_bytes_of_every_layer_are_those_of_what_it_gives_for_one_sample() -> None:
    module = network(8).train()
    assert layer_bytes(module, torch.zeros(1, 1, 8, 8)) == [1024, 1024, 16, 16, 12]
    assert module.training and not any(layer._forward_hooks for layer in module.modules())


@pytest.mark.parametrize("side", [8, 64, 256, 1024])
def test_a_module_is_asked_fewer_large_samples_at_once(side: int) -> None:
    module, sample = network(side), torch.zeros(1, 1, side, side)
    largest = 4 * 4 * side * side
    asked = answered_at_once(module, sample, 250)
    assert 1 <= asked <= 250 and (asked == 1 or asked * 5 * largest <= MOST_BYTES)
    assert asked == 250 or (asked + 1) * 5 * largest > MOST_BYTES


def test_what_a_module_answers_is_the_same_however_many_are_asked_at_once() -> None:
    module, x = network(256).eval(), torch.rand(9, 1, 256, 256)
    assert answered_at_once(module, x[:1], 250) < 9
    with torch.no_grad():
        torch.testing.assert_close(answers_of(module, x), module(x))


@pytest.mark.parametrize(("batch", "parts"), [(2, 1), (128, 4), (129, 5), (1, 1)])
def test_a_batch_is_trained_in_as_many_parts_as_fit_each_of_two_samples_or_more(
    batch: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, sample = network(8), torch.zeros(1, 1, 8, 8)
    monkeypatch.setattr(batches, "KEPT_BYTES", 32 * sum(layer_bytes(module, sample)))
    assert trained_parts(module, sample, batch) == parts
    assert [len(rows) >= 2 or batch == 1 for rows in torch.arange(batch).tensor_split(parts)] == [True] * parts


def test_the_example_is_trained_in_whole_batches_and_large_pictures_in_parts() -> None:
    from edgefleet_compression.networks.architectures import build

    def parts(side: int) -> int:
        return trained_parts(build("resnet_s", {}, (1, side, side), 10, seed=0), torch.zeros(1, 1, side, side), 128)

    assert (parts(28), parts(96)) == (1, 1)
    assert parts(224) * KEPT_BYTES >= 128 * 4_128_808 * (224 / 96) ** 2 * 0.9


def test_in_parts_a_network_without_norms_learns_what_it_learns_from_whole_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = torch.rand(24, 1, 8, 8), torch.arange(24) % 3

    def learned(kept: int) -> tuple[dict[str, Any], Any]:
        monkeypatch.setattr(batches, "KEPT_BYTES", kept)
        module = network(8)
        log = fit(
            module,
            list(module.parameters()),
            Corpus(x, y, torch.rand(24, 3, generator=torch.Generator().manual_seed(1))),
            TrainConfig(epochs=2, batch=12, rate=1e-2),
            0,
            lambda share, text: None,
        )
        return log, module.state_dict()

    (whole, weights), (split, others) = learned(KEPT_BYTES), learned(1)
    assert whole["losses"] == pytest.approx(split["losses"], abs=2e-4)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batches_in_all", range(1, 12))
def test_a_training_of_any_length_has_a_rate_for_each_step(batches_in_all: int) -> None:
    data = Corpus(torch.rand(4, 1, 8, 8), torch.arange(4) % 3, None)
    settings = TrainConfig(epochs=batches_in_all, batch=4, rate=1e-3)
    module = network(8)
    log = fit(module, list(module.parameters()), data, settings, 0, lambda share, text: None)
    assert len(log["losses"]) == batches_in_all


def test_samples_stay_as_the_data_holds_them_until_they_are_learned_from() -> None:
    data = Corpus(
        torch.full((4, 1, 2, 2), 51, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), None, scale=1 / 255
    )
    assert data.inputs(slice(2)).dtype == torch.float32 and data.inputs(slice(2)).shape == (2, 1, 2, 2)
    assert data.inputs(torch.tensor([3])).unique().item() == pytest.approx(0.2)
