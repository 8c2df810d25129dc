"""Norm tuning: weights snap to the grid they will be stored on, norms and biases learn to live with it."""

import torch
from torch import nn

from edgefleet_compression import training
from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.grid import layer_kind, to_grid
from edgefleet_compression.states import TorchState, copied
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.step_configs import TuneNormsConfig


def tune_norms(state: TorchState, config: TuneNormsConfig, context: Context) -> StepResult:
    """Snap weights to the grid, then train only the norms and biases (after TENT's choice of parameters).

    A norm after a convolution scales whole output channels, and the export folds it into the weights: they stay
    on the grid, so that `storage_quant` with the same bits finds the same integers.

    Raises:
        NothingChanged: no weight was off the grid.
    """
    source, tuned = context.source, copied(state)
    val, scale = source.data.split("val"), source.card.preprocessing.scale
    snapped = _snap(tuned.module, config)
    if not snapped:
        raise NothingChanged("tune_norms found every weight on the grid already: drop the step or lower its bits")
    before = training.accuracy(tuned.module, val, scale)
    for parameter in tuned.module.parameters():
        parameter.requires_grad_(False)
    free = _norms_and_biases(tuned.module)
    losses = training.fit(tuned.module, free, training.corpus(source, config), config, context.seed, context.progress)
    after = training.accuracy(tuned.module, val, scale)
    log = {"snapped": snapped, "losses": losses, "val_before": before, "val": after}
    return StepResult(tuned, {**log, "parameters": tuned.parameters()})


def _snap(module: nn.Module, config: TuneNormsConfig) -> int:
    """Put each layer's weights on its grid; returns how many layers that changed."""
    changed, first = 0, True
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight.detach().numpy()
        kernel = int(weight[0, 0].size) if weight.ndim == 4 else 1
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        kind = layer_kind(first=first, rank=weight.ndim, kernel=kernel, groups=groups)
        first = False
        integers, scales = to_grid(weight, getattr(config, kind))
        grid = torch.from_numpy(integers).float() * torch.from_numpy(scales).view(-1, *[1] * (weight.ndim - 1))
        changed += not torch.allclose(grid, layer.weight, rtol=1e-5, atol=0)
        layer.weight = nn.Parameter(grid)
    return changed


def _norms_and_biases(module: nn.Module) -> list[nn.Parameter]:
    norms = {id(p) for layer in module.modules() if isinstance(layer, nn.BatchNorm2d) for p in layer.parameters()}
    free = [p for name, p in module.named_parameters() if id(p) in norms or name.endswith(".bias")]
    for parameter in free:
        parameter.requires_grad_(True)
    return free
