"""Structured pruning: remove whole channels, which makes the network smaller and faster everywhere."""

from typing import Annotated

from pydantic import Field

from edgefleet_compression.search_roles import ALPHA, RATE
from edgefleet_compression.step import (
    MODULE,
    Context,
    NothingChanged,
    Searched,
    Step,
    StepConfig,
    StepResult,
    TorchState,
    Trunk,
    copied,
    step,
)
from edgefleet_compression.step_settings import Ratio


class PruneStructuredConfig(StepConfig):
    """Remove the `ratio` of channels with the least magnitude, in multiples of `round_to`."""

    ratio: Ratio = 0.5
    round_to: Annotated[int, Field(ge=1)] = 8


def pruned_trunk(ratio: float, rank: float = 0.0) -> Trunk:
    """The source with fewer channels, finetuned by its own soft labels, with its rank among the trunks."""
    return Trunk(
        f"pruned{round(ratio * 100)}",
        f"{ratio:.0%} of the channels pruned and finetuned",
        (
            step("prune_structured", ratio=ratio, round_to=8),
            step("finetune", rate=RATE / 4, alpha=ALPHA),
        ),
        "pruned",
        patience=0.25,
        rank=rank,
    )


STEP = Step(
    name="prune_structured",
    config=PruneStructuredConfig,
    consumes=MODULE,
    produces="torch",
    technique="prune",
    search=Searched(trunks=(pruned_trunk(0.5, rank=1),)),
)


def run(state: TorchState, config: PruneStructuredConfig, context: Context) -> StepResult:
    """Remove the channels of least magnitude, group by group of coupled layers (Fang et al. 2023, DepGraph).

    Raises:
        StepError: the network cannot be traced.
        NothingChanged: no channel could be removed at this ratio and rounding.
    """
    from edgefleet_compression.networks.channels import ChannelPruner, widths

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
