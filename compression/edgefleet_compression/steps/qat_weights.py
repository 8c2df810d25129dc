"""Quantization-aware training of stored weights: the network learns on the grid that its weights will travel on."""

import copy

import numpy as np
import torch
from torch import nn

from edgefleet_compression import training
from edgefleet_compression.bitwidths import FEWEST, MOST, by_kind, by_sensitivity
from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import TorchState, copied
from edgefleet_compression.networks.layers import Binary, Grid, Ternary, kinds, leave_on, on_grid, put_on, weighted
from edgefleet_compression.onnx_graphs.session import inputs
from edgefleet_compression.recipes.step_configs import QatWeightsConfig
from edgefleet_compression.step import Context, StepResult

SENSITIVITY_SAMPLES = 256


def qat_weights(state: TorchState, config: QatWeightsConfig, context: Context) -> StepResult:
    """Finetune with rounded weights and a straight-through gradient (Jacob et al. 2018), and leave them rounded.

    A norm after a convolution scales whole output channels, and the export folds it into the weights: they stay
    on their grid, which `storage_quant` finds again with `lossless`.

    Raises:
        NothingChanged: every weight was on its grid already.
    """
    source, trained = context.source, copied(state)
    bits = _bits(trained.module, config, context)
    grids = _grids(trained.module, config, bits)
    if all(torch.allclose(grids[name].snapped(w.weight), w.weight, rtol=1e-5) for name, w in weighted(trained.module)):
        raise NothingChanged("qat_weights found every weight on its grid already: drop the step or lower its bits")
    put_on(trained.module, grids)
    before = training.score(trained.module, source)
    learned = training.fit_whole(trained.module, config, context)
    leave_on(trained.module)
    after = training.score(trained.module, source)
    log = {"bits": bits, "levels": config.levels, **learned, "val_before": before, "val": after}
    return StepResult(trained, {**log, "parameters": trained.parameters()})


def _bits(module: nn.Module, config: QatWeightsConfig, context: Context) -> dict[str, int]:
    if config.mean_bits is None:
        return by_kind(kinds(module), config)
    context.progress(0.0, "finding the layers that need their bits")
    weights = {name: layer.weight.numel() for name, layer in weighted(module)}
    return by_sensitivity(sensitivity(module, context), weights, config.mean_bits)


def _grids(module: nn.Module, config: QatWeightsConfig, bits: dict[str, int]) -> dict[str, Grid]:
    grids = {}
    for name, kind in kinds(module).items():
        few = config.levels != "grid" and kind in ("dense", "pointwise")
        grids[name] = (Ternary() if config.levels == "ternary" else Binary()) if few else Grid(bits[name])
    return grids


def sensitivity(module: nn.Module, context: Context) -> dict[str, dict[int, float]]:
    """By layer and bits, the mean Kullback-Leibler divergence of the answers to calib with that layer alone rounded."""
    split = context.source.data.split("calib").first(SENSITIVITY_SAMPLES)
    x = torch.from_numpy(inputs(split.x, context.source.card.preprocessing.scale))
    probe = copy.deepcopy(module).eval()
    found: dict[str, dict[int, float]] = {}
    with torch.inference_mode():
        whole = probe(x).log_softmax(1)
        for name, layer in weighted(probe):
            kept = layer.weight.detach().clone()
            found[name] = {}
            for bits in range(FEWEST, MOST + 1):
                layer.weight.copy_(on_grid(kept, bits))
                rounded = probe(x).log_softmax(1)
                divergence = (whole.exp() * (whole - rounded)).sum(1).mean()
                found[name][bits] = float(np.maximum(divergence.item(), 0.0))
            layer.weight.copy_(kept)
    return found
