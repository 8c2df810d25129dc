"""Batch norms: take their statistics again."""

import torch
from torch import nn

from edgefleet_compression.networks.batches import answered_at_once

BATCH = 256


def reestimate(module: nn.Module, x: torch.Tensor) -> int:
    """Take the mean and variance of every batch norm again, from `x`; in place, without changing weights.

    Each layer sees what the layers before it give with the statistics of the same batch, as in training. Kept is the
    mean over all batches, not a moving one.

    Args:
        module: the network; left in evaluation mode.
        x: float32 [N, *shape] in an order without meaning, N of 2 or more.

    Returns:
        How many norms there are.
    """
    size = max(2, answered_at_once(module, x[:1], BATCH))
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    module.eval()
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        # A last batch of one sample has no variance where a norm sees one position of it.
        for start in range(0, len(x), size):
            if len(x) - start > 1:
                module(x[start : start + size])
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    module.eval()
    return len(norms)
