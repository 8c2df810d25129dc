"""Norm re-estimation: batch norms take their statistics again after weights were pruned or rounded."""

from typing import Annotated

from pydantic import Field

from edgefleet_compression.errors import DataError
from edgefleet_compression.step import (
    MODULE,
    Context,
    NothingChanged,
    NotSearched,
    Step,
    StepConfig,
    StepResult,
    TorchState,
    copied,
)


class ReestimateNormsConfig(StepConfig):
    """Take the statistics of every batch norm again, over `samples` of train, without training anything."""

    samples: Annotated[int, Field(ge=2)] = 4096


STEP = Step(
    name="reestimate_norms",
    config=ReestimateNormsConfig,
    consumes=MODULE,
    produces="torch",
    technique=None,
    search=NotSearched("searches train whatever they cut, after which it changes nothing"),
    needs=frozenset({"train", "val"}),
)


def run(state: TorchState, config: ReestimateNormsConfig, context: Context) -> StepResult:
    """Take the statistics of every batch norm again over samples of train, drawn by seed; nothing is trained.

    Raises:
        DataError: train has fewer than two samples.
        NothingChanged: the network has no batch norm.
    """
    import numpy as np
    import torch

    from edgefleet_compression import training
    from edgefleet_compression.networks.norms import reestimate

    source, fresh = context.source, copied(state)
    x = source.data.read("train").arrays.x
    if len(x) < 2:
        raise DataError("train has only one sample: a norm's variance needs two or more")
    # Samples of one class may lie together: each batch must be a fair draw.
    rows = np.random.default_rng(context.seed).permutation(len(x))[: config.samples]
    before = training.score(fresh.module, source)
    norms = reestimate(fresh.module, torch.from_numpy(x[rows]).float() * source.scale)
    if not norms:
        raise NothingChanged("reestimate_norms found no batch norm in the network: drop the step")
    log = {"norms": norms, "samples": len(rows), "val_before": before, "val": training.score(fresh.module, source)}
    return StepResult(fresh, {**log, "parameters": fresh.parameters()})
