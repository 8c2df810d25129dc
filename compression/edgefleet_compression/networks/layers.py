"""The weighted layers of a torch module: their kinds, and how to train them with weights on a grid."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from edgefleet_compression.grid import layer_kind, to_grid
from edgefleet_compression.layer_kinds import LayerKind


def weighted(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """Convolutions and linear layers by name, in the order of the module."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield name, layer


def kinds(module: nn.Module) -> dict[str, LayerKind]:
    """The kind of each weighted layer; the first is the stem."""
    found: dict[str, LayerKind] = {}
    for name, layer in weighted(module):
        rank = layer.weight.ndim
        kernel = int(layer.weight[0, 0].numel()) if rank == 4 else 1
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        found[name] = layer_kind(first=not found, rank=rank, kernel=kernel, groups=groups)
    return found


class Grid(nn.Module):
    """Weights [outputs, ...] on a grid of `bits` for each output channel."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2 ** (bits - 1) - 1

    def snapped(self, weight: torch.Tensor) -> torch.Tensor:
        """The nearest weights on the grid."""
        scale: torch.Tensor = _tops(weight) / self.levels
        rounded: torch.Tensor = torch.round(weight / scale).clamp(-self.levels, self.levels)
        return rounded * scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights on the grid; the gradient passes as if they were not (straight-through, Bengio et al. 2013)."""
        return weight + (self.snapped(weight) - weight).detach()


class Levels(Grid):
    """Weights on the grid of static int8: `most` levels each way, for each output channel or for the whole layer."""

    def __init__(self, most: int, per_channel: bool) -> None:
        super().__init__(8)
        self.levels = most
        self.per_channel = per_channel

    def snapped(self, weight: torch.Tensor) -> torch.Tensor:
        """The nearest weights on the grid."""
        if self.per_channel:
            return super().snapped(weight)
        return super().snapped(weight.flatten()[None]).view_as(weight)


class Ternary(Grid):
    """-s, 0 or s: weights within 0.7 of their channel's mean size become 0 (Li et al. 2016, TWN)."""

    THRESHOLD = 0.7

    def __init__(self) -> None:
        super().__init__(2)

    def snapped(self, weight: torch.Tensor) -> torch.Tensor:
        """The ternary weights; s is the mean size of those that stay."""
        size = weight.abs()
        stay = (size > self.THRESHOLD * _mean(size)).to(weight.dtype)
        scale = (size * stay).flatten(1).sum(1) / stay.flatten(1).sum(1).clamp_min(1)
        return weight.sign() * stay * scale.view(-1, *[1] * (weight.ndim - 1))


class Binary(Grid):
    """-s or s, where s is the mean size of the channel's weights (Rastegari et al. 2016, XNOR-Net's BWN)."""

    def __init__(self) -> None:
        super().__init__(2)

    def snapped(self, weight: torch.Tensor) -> torch.Tensor:
        """The binary weights."""
        signs = torch.where(weight >= 0, torch.ones_like(weight), -torch.ones_like(weight))
        return signs * _mean(weight.abs())


def put_on(module: nn.Module, grids: Mapping[str, nn.Module]) -> None:
    """Let the named layers compute with weights on a grid while training moves the weights behind it; in place."""
    for name, layer in weighted(module):
        if name in grids:
            parametrize.register_parametrization(layer, "weight", grids[name])


def leave_on(module: nn.Module) -> None:
    """Replace weights by their values on the grid; in place."""
    for _, layer in weighted(module):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def pruned_weights(module: nn.Module) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Weights with zeros, each with a mask that is 0 at these: a weight is zero only if it was pruned."""
    found = []
    for name, parameter in module.named_parameters():
        # Behind a grid, the weight that is trained goes by another name.
        if parameter.ndim > 1 and name.endswith(("weight", "weight.original")):
            mask = (parameter.detach() != 0).to(parameter.dtype)
            if not mask.all():
                found.append((parameter, mask))
    return found


def on_grid(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The weights as storage in `bits` gives them back."""
    integers, scales = to_grid(weight.detach().numpy(), bits)
    shape: Any = (-1, *[1] * (weight.ndim - 1))
    return torch.from_numpy(integers).float() * torch.from_numpy(scales).view(shape)


def _tops(weight: torch.Tensor) -> torch.Tensor:
    tops = weight.detach().abs().flatten(1).amax(1)
    return torch.where(tops == 0, 1.0, tops).view(-1, *[1] * (weight.ndim - 1))


def _mean(size: torch.Tensor) -> torch.Tensor:
    return size.flatten(1).mean(1).view(-1, *[1] * (size.ndim - 1))
