"""The statistics of batch norms, taken again."""

import torch
from torch import nn

BATCH = 256


def reestimate(module: nn.Module, x: torch.Tensor) -> int:
    """Let every batch norm take mean and variance of `x` anew; in place, and no weight changes.

    Each layer is told by the statistics that the layers before it just took, as in training; the mean over batches is
    kept, no moving one.

    Args:
        module: the network; left in evaluation mode.
        x: float32 [N, *shape] in an order without meaning, N of 2 or more.

    Returns:
        How many norms there are.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    module.eval()
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        # A last batch of one sample has no variance where a norm sees one position of it.
        for start in range(0, len(x), BATCH):
            if len(x) - start > 1:
                module(x[start : start + BATCH])
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    module.eval()
    return len(norms)
