"""Width scaling: a fresh network of the given one's shape with fewer channels, taught by the source model."""

import torch
from torch import nn

from edgefleet_compression import training
from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import TorchState, copied
from edgefleet_compression.networks.channels import ChannelPruner, widths
from edgefleet_compression.recipes.step_configs import ScaleWidthConfig
from edgefleet_compression.step import Context, StepResult


def scale_width(state: TorchState, config: ScaleWidthConfig, context: Context) -> StepResult:
    """Keep the shape that pruning would leave, forget the weights and train anew (Liu et al. 2018).

    The width multiplier of Howard et al. 2017, for any network whose channels can be followed.

    Raises:
        StepError: the network's graph cannot be followed, or training diverged.
        NothingChanged: not one channel could go at this ratio and rounding.
    """
    source, narrow = context.source, copied(state)
    # What is kept is `ratio`; the pruner asks for what goes.
    if not ChannelPruner(narrow.module, state.input_shape, 1 - config.ratio, config.round_to).prune():
        raise NothingChanged(
            f"scale_width kept every channel at ratio {config.ratio} in multiples of {config.round_to}: "
            "lower the ratio or round_to"
        )
    forget(narrow.module, context.seed)
    learned = training.fit_whole(narrow.module, config, context)
    log = {**learned, "val": training.score(narrow.module, source), "widths": widths(narrow.module)}
    return StepResult(narrow, {**log, "parameters_before": state.parameters(), "parameters": narrow.parameters()})


def forget(module: nn.Module, seed: int) -> None:
    """Initialise every layer anew from `seed`, norms' statistics too; in place."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
