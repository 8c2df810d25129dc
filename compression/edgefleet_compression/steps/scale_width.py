"""Width scaling: a fresh network of the given one's shape with fewer channels, taught by the source model."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgefleet_compression.step import (
    MODULE,
    TRAINING,
    Context,
    NothingChanged,
    NotSearched,
    Step,
    StepResult,
    TorchState,
    TrainConfig,
    copied,
)
from edgefleet_compression.step_settings import Ratio

if TYPE_CHECKING:
    from torch import nn


class ScaleWidthConfig(TrainConfig):
    """Train a fresh network of the given one's shape with `ratio` of its channels, in multiples of `round_to`."""

    ratio: Ratio = 0.5
    round_to: Annotated[int, Field(ge=1)] = 8


STEP = Step(
    name="scale_width",
    config=ScaleWidthConfig,
    consumes=MODULE,
    produces="torch",
    technique="scale",
    search=NotSearched("it takes a whole training, which searches give to students"),
    needs=TRAINING,
    trains=True,
    revision=2,
)


def run(state: TorchState, config: ScaleWidthConfig, context: Context) -> StepResult:
    """Keep the shape that pruning would leave, forget the weights and train anew (Liu et al. 2018).

    The width multiplier of Howard et al. 2017, for any network whose channels can be traced.

    Raises:
        StepError: the network cannot be traced, or training diverged.
        NothingChanged: no channel could be removed at this ratio and rounding.
    """
    from edgefleet_compression import training
    from edgefleet_compression.networks.channels import ChannelPruner, widths

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


def forget(module: "nn.Module", seed: int) -> None:
    """Initialise every layer again from `seed`, with the statistics of norms; in place."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
