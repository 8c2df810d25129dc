"""Structured pruning: whole channels go, so that the network is smaller and faster everywhere."""

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import TorchState, copied
from edgefleet_compression.networks.channels import ChannelPruner, widths
from edgefleet_compression.recipes.step_configs import PruneStructuredConfig
from edgefleet_compression.step import Context, StepResult


def prune_structured(state: TorchState, config: PruneStructuredConfig, context: Context) -> StepResult:
    """Remove the channels of least magnitude, group by group of coupled layers (Fang et al. 2023, DepGraph).

    Raises:
        StepError: the network's graph cannot be followed.
        NothingChanged: not one channel could go at this ratio and rounding.
    """
    before = state.parameters()
    context.progress(0.1, f"pruning {before:,} parameters")
    pruned = copied(state)
    if not ChannelPruner(pruned.module, state.input_shape, config.ratio, config.round_to).prune():
        raise NothingChanged(
            f"prune_structured removed no channel at ratio {config.ratio} in multiples of {config.round_to}: "
            "raise the ratio or lower round_to"
        )
    log = {"parameters_before": before, "parameters": pruned.parameters(), "widths": widths(pruned.module)}
    return StepResult(pruned, log)
