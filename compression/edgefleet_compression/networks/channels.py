"""Removes whole channels from a network, with all that depends on them (Fang et al. 2023, DepGraph)."""

import warnings

import torch
from torch import nn

from edgefleet_compression.errors import StepError


class ChannelPruner:
    """Removes the channels of least magnitude from `module`, in one or more rounds."""

    def __init__(
        self, module: nn.Module, input_shape: tuple[int, ...], ratio: float, round_to: int, rounds: int = 1
    ) -> None:
        """Trace the network; the outputs of its last linear layer are the classes, and stay.

        Args:
            module: the network; pruned in place.
            input_shape: one sample.
            ratio: the share of each layer's channels to remove in all, 0 to 1.
            round_to: what is left of a layer is a multiple of it.
            rounds: how many rounds it takes, each the same number of channels.

        Raises:
            StepError: the network cannot be traced.
        """
        heads = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1:]
        with warnings.catch_warnings():
            # torch_pruning reads fields that torch has renamed, and warns of gradients it doesn't need.
            warnings.simplefilter("ignore")
            import torch_pruning as tp

            try:
                self._pruner = tp.pruner.BasePruner(
                    module,
                    torch.zeros(1, *input_shape),
                    importance=tp.importance.GroupMagnitudeImportance(p=2),
                    pruning_ratio=ratio,
                    iterative_steps=rounds,
                    ignored_layers=heads,
                    round_to=round_to,
                )
            except Exception as error:  # what it raises on a graph that it cannot follow has no common root
                reason = " ".join(str(error).split())[:200]
                raise StepError(
                    f"the network's channels cannot be traced ({reason}): use a recipe that keeps its channels"
                ) from None
        self._module = module

    def prune(self) -> int:
        """Prune one more round; returns how many parameters were removed."""
        before = parameters(self._module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pruner.step()
        self._module.eval()
        return before - parameters(self._module)


def parameters(module: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(p.numel() for p in module.parameters())


def widths(module: nn.Module) -> dict[str, int]:
    """The output channels of each convolution, by name."""
    return {name: layer.out_channels for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
