"""Iterative pruning: remove a little, let the network recover, and repeat."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from edgefleet_compression.step_settings import Epochs, Ratio
from edgefleet_compression.steps import prune_unstructured
from edgefleet_compression.steps.prune_unstructured import PruneUnstructuredConfig

if TYPE_CHECKING:
    from edgefleet_compression.training import Corpus


class PruneIterativeConfig(TrainConfig):
    """Prune in `rounds`, each followed by `epochs` of finetuning, up to `ratio`; zeros stay zero while it trains.

    `ratio` is the share of channels (structured) or of weights (unstructured) that are gone in the end.
    """

    method: Literal["structured", "unstructured"] = "structured"
    ratio: Ratio = 0.5
    rounds: Annotated[int, Field(ge=2, le=20)] = 3
    round_to: Annotated[int, Field(ge=1)] = 8
    epochs: Epochs = 1


STEP = Step(
    name="prune_iterative",
    config=PruneIterativeConfig,
    consumes=MODULE,
    produces="torch",
    technique="prune",
    search=NotSearched("it pays only with many epochs and high ratios"),
    needs=TRAINING,
    trains=True,
    revision=2,
)


def run(state: TorchState, config: PruneIterativeConfig, context: Context) -> StepResult:
    """Prune and finetune in rounds (Han et al. 2015); zeros stay zero while the network trains.

    Channels go in equal parts. Of single weights most go at first, while many can be spared, and few in the end (the
    cubic schedule of Zhu & Gupta 2017).

    Raises:
        StepError: the network cannot be traced, or training diverged.
        NothingChanged: nothing could be removed at this ratio and rounding.
    """
    from edgefleet_compression import training

    before, source = training.score(state.module, context.source), context.source
    rounds = _channels(state, config) if config.method == "structured" else _weights(state, config, context)
    corpus = training.corpus(source, config)
    pruned = state
    log = []
    for number, pruned in enumerate(rounds):
        log.append(_learned(pruned, corpus, config, context, number))
    if pruned is state:
        raise NothingChanged(
            f"prune_iterative removed nothing at ratio {config.ratio} in multiples of {config.round_to}: "
            "raise the ratio or lower round_to"
        )
    after = {"val_before": before, "val": log[-1]["val"], "parameters": pruned.parameters()}
    return StepResult(pruned, {"rounds": log, **after})


def _learned(
    pruned: TorchState, corpus: "Corpus", config: PruneIterativeConfig, context: Context, number: int
) -> dict[str, Any]:
    """Finetune after a round, in place; returns what that did."""
    from edgefleet_compression import training

    cut = training.score(pruned.module, context.source)

    def progress(share: float, text: str) -> None:
        context.progress((number + share) / config.rounds, f"round {number + 1} of {config.rounds}, {text}")

    free, seed = pruned.module.parameters(), context.seed + number
    learned = training.fit(pruned.module, free, corpus, config, seed, progress)
    val = training.score(pruned.module, context.source)
    return {"parameters": pruned.parameters(), "val_cut": cut, "val": val, **learned}


def _channels(state: TorchState, config: PruneIterativeConfig) -> Iterator[TorchState]:
    """The network after each round that took a channel, for the caller to train before the next one is asked for."""
    from edgefleet_compression.networks.channels import ChannelPruner

    pruned = copied(state)
    pruner = ChannelPruner(pruned.module, state.input_shape, config.ratio, config.round_to, config.rounds)
    for _ in range(config.rounds):
        if pruner.prune():
            yield pruned


def _weights(state: TorchState, config: PruneIterativeConfig, context: Context) -> Iterator[TorchState]:
    """The same for single weights, the smallest of all layers together."""
    pruned = state
    for number in range(1, config.rounds + 1):
        share = config.ratio * (1 - (1 - number / config.rounds) ** 3)
        result = prune_unstructured.run(pruned, PruneUnstructuredConfig(sparsity=share), context)
        assert isinstance(result.state, TorchState)
        pruned = result.state
        yield pruned
