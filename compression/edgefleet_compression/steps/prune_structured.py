"""Structured pruning: whole channels go, so that the network is smaller and faster everywhere."""

import warnings

import torch
from torch import nn

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.states import TorchState, copied
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.step_configs import PruneStructuredConfig


def prune_structured(state: TorchState, config: PruneStructuredConfig, context: Context) -> StepResult:
    """Remove the channels of least magnitude, group by group of coupled layers (Fang et al. 2023, DepGraph).

    Raises:
        NothingChanged: not one channel could go at this ratio and rounding.
    """
    before = state.parameters()
    context.progress(0.1, f"pruning {before:,} parameters")
    pruned = copied(state)
    _prune(pruned.module, state.input_shape, config)
    after = pruned.parameters()
    if after >= before:
        raise NothingChanged(
            f"prune_structured removed no channel at ratio {config.ratio} in multiples of {config.round_to}: "
            "raise the ratio or lower round_to"
        )
    return StepResult(pruned, {"parameters_before": before, "parameters": after, "widths": _widths(pruned.module)})


def _prune(module: nn.Module, input_shape: tuple[int, ...], config: PruneStructuredConfig) -> None:
    with warnings.catch_warnings():
        # torch_pruning reads fields that torch has renamed, and warns of gradients it doesn't need.
        warnings.simplefilter("ignore")
        import torch_pruning as tp

        heads = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1:]
        pruner = tp.pruner.BasePruner(
            module,
            torch.zeros(1, *input_shape),
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=config.ratio,
            ignored_layers=heads,
            round_to=config.round_to,
        )
        pruner.step()
    module.eval()


def _widths(module: nn.Module) -> dict[str, int]:
    return {name: layer.out_channels for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
