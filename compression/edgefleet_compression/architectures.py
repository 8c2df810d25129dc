"""The built-in architectures: a name and arguments become a torch module, with no user code.

No layer's arithmetic depends on a channel count, so that a pruned network is rebuilt from its architecture and
the shapes of its weights alone (`resize`), without a pickle.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import nn

from edgefleet_compression.errors import ArchitectureError

Builder = Callable[..., nn.Module]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, a 1x1 convolution where the shape changes (He et al. 2015).

    [N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the block's answer to its input."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SeparableBlock(nn.Module):
    """Depthwise 3x3, linear, then pointwise 1x1 with batch norm; the input is added where the shape allows.

    Depthwise-separable convolution after Howard et al. 2017 (MobileNets); the depthwise part stays linear,
    after Sandler et al. 2018 (MobileNetV2): on nets this narrow a ReLU there loses information.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        y = self.norm(self.pointwise(self.depthwise(x)))
        return torch.relu(y + x) if self.residual else torch.relu(y)


class Classifier(nn.Module):
    """Stem (3x3, stride 2), blocks, global average pooling, one linear layer: [N, C, H, W] -> [N, classes]."""

    def __init__(self, channels: int, stem: int, blocks: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(stem)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, one row for each input."""
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        return cast(torch.Tensor, self.head(x.mean(dim=(2, 3))))


def resnet_s(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A small residual network, 382,000 parameters and 14 M multiplications for 28x28 inputs."""
    blocks = [(32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)]
    return Classifier(input_shape[0], 32, [ResidualBlock(*b) for b in blocks], 128, classes)


def ds_cnn(input_shape: tuple[int, ...], classes: int, width: int = 24, depth: int = 2) -> nn.Module:
    """A depthwise-separable student of 1x, 2x and 3x `width` channels, `depth` residual blocks at 2x."""
    w = width
    blocks = [(w, w, 1), (w, 2 * w, 2), *[(2 * w, 2 * w, 1)] * depth, (2 * w, 3 * w, 2), (3 * w, 3 * w, 1)]
    return Classifier(input_shape[0], w, [SeparableBlock(*b) for b in blocks], 3 * w, classes)


REGISTRY: dict[str, Builder] = {"resnet_s": resnet_s, "ds_cnn": ds_cnn}


def build(name: str, args: Mapping[str, int], input_shape: tuple[int, ...], classes: int, seed: int = 0) -> nn.Module:
    """A fresh module of a built-in architecture, initialised from `seed` whatever ran before.

    Args:
        name: a key of the registry.
        args: the architecture's own arguments.
        input_shape: one input without the batch, as [C, H, W].
        classes: how many logits the head has.

    Raises:
        ArchitectureError: no such architecture, or it doesn't take these arguments.
    """
    if name not in REGISTRY:
        raise ArchitectureError(f"no architecture '{name}' is built in: use one of {', '.join(REGISTRY)}")
    if len(input_shape) != 3:
        raise ArchitectureError(f"'{name}' takes inputs shaped [C, H, W], not {list(input_shape)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return REGISTRY[name](input_shape, classes, **args)
        except TypeError as error:
            raise ArchitectureError(f"'{name}' doesn't take these arguments ({error}): correct args") from None


def resize(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give each layer of `module` the channel counts of its weights in `tensors`, then load them.

    Args:
        module: an unpruned network; changed in place.
        tensors: the state of the same network after structured pruning, by parameter name.

    Raises:
        ArchitectureError: the tensors aren't a pruned form of this network.
    """
    for name, layer in module.named_modules():
        weight = tensors.get(f"{name}.weight")
        if weight is not None:
            _resize_layer(layer, weight.shape)
    try:
        module.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ArchitectureError(f"the weights don't fit the architecture ({first}): correct either") from None


def _resize_layer(layer: nn.Module, shape: torch.Size) -> None:
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1
        layer.out_channels = shape[0]
        layer.in_channels = shape[0] if depthwise else shape[1]
        layer.groups = shape[0] if depthwise else 1
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = shape[0]
        layer.running_mean = torch.zeros(shape[0])
        layer.running_var = torch.ones(shape[0])
        layer.bias = nn.Parameter(torch.zeros(shape[0]))
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    else:
        return
    layer.weight = nn.Parameter(torch.zeros(shape))
