"""Quantization-aware training of stored weights: train with weights on the grid that they will be stored on."""

import copy
from typing import TYPE_CHECKING, Annotated, Literal

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
from edgefleet_compression.step_settings import Bitwidths, Epochs, Rate

if TYPE_CHECKING:
    from torch import nn

    from edgefleet_compression.networks.layers import Grid

SENSITIVITY_SAMPLES = 256


class QatWeightsConfig(TrainConfig, Bitwidths):
    """Finetune with weights on the grid that they will be stored on, and leave them there.

    `levels` replaces the bits of dense and pointwise convolutions by three values (ternary: -s, 0, s) or two (binary:
    -s, s) for each output channel. Stem, head and depthwise convolutions, which have few weights and need them, keep
    their bits: nine weights of three values alone cost two points.
    """

    levels: Literal["grid", "ternary", "binary"] = "grid"
    epochs: Epochs = 3
    rate: Rate = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


STEP = Step(
    name="qat_weights",
    config=QatWeightsConfig,
    consumes=MODULE,
    produces="torch",
    technique="qat",
    search=Searched(),
    needs=TRAINING | {"calib"},
    trains=True,
    revision=3,
)


def run(state: TorchState, config: QatWeightsConfig, context: Context) -> StepResult:
    """Finetune with rounded weights and a straight-through gradient (Jacob et al. 2018), and leave them rounded.

    A norm after a convolution scales whole output channels, and the export folds it into the weights: they stay
    on their grid, which `storage_quant` finds again with `lossless`.

    Raises:
        NothingChanged: every weight was on its grid already.
    """
    import torch

    from edgefleet_compression import training
    from edgefleet_compression.networks.layers import leave_on, put_on, weighted

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


def _bits(module: "nn.Module", config: QatWeightsConfig, context: Context) -> dict[str, int]:
    from edgefleet_compression.bitwidths import by_kind, by_sensitivity
    from edgefleet_compression.networks.layers import kinds, weighted

    if config.mean_bits is None:
        return by_kind({name: (kind,) for name, kind in kinds(module).items()}, config)
    context.progress(0.0, "finding the layers that need their bits")
    weights = {name: layer.weight.numel() for name, layer in weighted(module)}
    return by_sensitivity(sensitivity(module, context), weights, config.mean_bits)


def _grids(module: "nn.Module", config: QatWeightsConfig, bits: dict[str, int]) -> "dict[str, Grid]":
    from edgefleet_compression.networks.layers import Binary, Grid, Ternary, kinds

    grids = {}
    for name, kind in kinds(module).items():
        few = config.levels != "grid" and kind in ("dense", "pointwise")
        grids[name] = (Ternary() if config.levels == "ternary" else Binary()) if few else Grid(bits[name])
    return grids


def sensitivity(module: "nn.Module", context: Context) -> dict[str, dict[int, float]]:
    """By layer and bits, the mean Kullback-Leibler divergence of the answers to calib with that layer alone rounded."""
    import torch

    from edgefleet_compression.bitwidths import FEWEST, MOST
    from edgefleet_compression.networks.batches import answers_of
    from edgefleet_compression.networks.layers import on_grid, weighted
    from edgefleet_compression.onnx_graphs.session import inputs

    split = context.source.data.read("calib").arrays.first(SENSITIVITY_SAMPLES)
    x = torch.from_numpy(inputs(split.x, context.source.scale))
    probe = copy.deepcopy(module).eval()
    found: dict[str, dict[int, float]] = {}
    with torch.inference_mode():
        whole = answers_of(probe, x).log_softmax(1)
        for name, layer in weighted(probe):
            kept = layer.weight.detach().clone()
            found[name] = {}
            for bits in range(FEWEST, MOST + 1):
                layer.weight.copy_(on_grid(kept, bits))
                rounded = answers_of(probe, x).log_softmax(1)
                divergence = (whole.exp() * (whole - rounded)).sum(1).mean()
                found[name][bits] = max(divergence.item(), 0.0)
            layer.weight.copy_(kept)
    return found
