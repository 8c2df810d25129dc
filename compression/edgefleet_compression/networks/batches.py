"""How many samples a torch module is given at once: as many as fit, by the bytes of what its layers give for one.

Measured on a network of 25 layers on pictures of 96x96: asked 250 at once it takes 315 MB and 11.2 ms for each, asked
32 at once 53 MB and 8.6 ms, which is about 4.5 times the largest of what its layers give. Training keeps all of that
until the gradient is taken: a batch of 128 takes 719 MB, 1.4 times the sum of it.
"""

import torch
from torch import nn

from edgefleet_compression.heartbeat import beat
from edgefleet_compression.onnx_graphs.batches import fitting

LARGEST_AT_A_TIME = 5
KEPT_BYTES = 512 * 2**20
"""Of what the layers give for the samples that are trained on at once."""
LEAST_TRAINED = 2
"""One sample has no variance, which a batch norm takes."""


def answered_at_once(module: nn.Module, sample: torch.Tensor, most: int) -> int:
    """How many samples a module is asked at once.

    Args:
        module: the network.
        sample: one [1, *shape], as it takes them.
        most: at most so many.
    """
    return fitting(LARGEST_AT_A_TIME * max(sample.nbytes, *layer_bytes(module, sample), 1), most)


def answers_of(module: nn.Module, x: torch.Tensor, most: int = 256) -> torch.Tensor:
    """What a module answers to any number of samples [N, *shape], asked as many at once as fit; without gradients."""
    size = answered_at_once(module, x[:1], most)
    found = []
    with torch.no_grad():
        for start in range(0, len(x), size):
            beat()
            found.append(module(x[start : start + size]))
    return torch.cat(found)


def trained_parts(module: nn.Module, sample: torch.Tensor, batch: int) -> int:
    """In how many parts a batch goes through the network, so that what training keeps of each fits."""
    fit = KEPT_BYTES // max(1, sum(layer_bytes(module, sample)))
    return max(1, min(-(-batch // max(1, fit)), batch // LEAST_TRAINED))


def layer_bytes(module: nn.Module, sample: torch.Tensor) -> list[int]:
    """The bytes that each layer gives for one sample [1, *shape], in the order in which they run."""
    found: list[int] = []

    def heard(_layer: nn.Module, _given: object, made: object) -> None:
        if isinstance(made, torch.Tensor):
            found.append(made.nbytes)

    hooks = [layer.register_forward_hook(heard) for layer in module.modules() if not any(layer.children())]
    trains = module.training
    module.eval()
    try:
        with torch.no_grad():
            module(sample)
    finally:
        module.train(trains)
        for hook in hooks:
            hook.remove()
    return found
