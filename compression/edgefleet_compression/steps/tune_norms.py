"""Norm tuning: snap weights to the grid that they will be stored on, and train norms and biases around it."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgefleet_compression.step import (
    MODULE,
    TRAINING,
    Context,
    NothingChanged,
    Searched,
    Step,
    StepResult,
    TorchState,
    TrainConfig,
    copied,
)
from edgefleet_compression.step_settings import Epochs, Rate, WeightBits

if TYPE_CHECKING:
    from torch import nn


class TuneNormsConfig(TrainConfig, WeightBits):
    """Snap weights to the grid that they will be stored on, then train only norms and biases.

    Without `snap` weights stay where they are, on the grid that `qat_weights` put them on.
    """

    snap: bool = True
    epochs: Epochs = 2
    rate: Rate = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


STEP = Step(
    name="tune_norms",
    config=TuneNormsConfig,
    consumes=MODULE,
    produces="torch",
    technique=None,
    search=Searched(),
    needs=TRAINING,
    trains=True,
    revision=2,
)


def run(state: TorchState, config: TuneNormsConfig, context: Context) -> StepResult:
    """Snap weights to the grid, then train only the norms and biases (after TENT's choice of parameters).

    A norm after a convolution scales whole output channels, and the export folds it into the weights: they stay
    on the grid, so that `storage_quant` with the same bits finds the same integers.

    Raises:
        NothingChanged: no weight was off the grid.
    """
    from edgefleet_compression import training

    source, tuned = context.source, copied(state)
    snapped = _snap(tuned.module, config) if config.snap else 0
    if config.snap and not snapped:
        raise NothingChanged("tune_norms found every weight on the grid already: drop the step or lower its bits")
    before = training.score(tuned.module, source)
    for parameter in tuned.module.parameters():
        parameter.requires_grad_(False)
    free = _norms_and_biases(tuned.module)
    learned = training.fit(tuned.module, free, training.corpus(source, config), config, context.seed, context.progress)
    after = training.score(tuned.module, source)
    log = {"snapped": snapped, **learned, "val_before": before, "val": after}
    return StepResult(tuned, {**log, "parameters": tuned.parameters()})


def _snap(module: "nn.Module", config: TuneNormsConfig) -> int:
    """Put each layer's weights on its grid; returns how many layers that changed."""
    import torch

    from edgefleet_compression.networks.layers import kinds, on_grid, weighted

    changed, kinds_of = 0, kinds(module)
    for name, layer in weighted(module):
        grid = on_grid(layer.weight, getattr(config, kinds_of[name]))
        changed += not torch.allclose(grid, layer.weight, rtol=1e-5, atol=0)
        layer.weight = torch.nn.Parameter(grid)
    return changed


def _norms_and_biases(module: "nn.Module") -> "list[nn.Parameter]":
    from torch import nn

    norms = {id(p) for layer in module.modules() if isinstance(layer, nn.BatchNorm2d) for p in layer.parameters()}
    free = [p for name, p in module.named_parameters() if id(p) in norms or name.endswith(".bias")]
    for parameter in free:
        parameter.requires_grad_(True)
    return free
