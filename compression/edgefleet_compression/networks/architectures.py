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
Args = Mapping[str, int | str]


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
    after Sandler et al. 2018 (MobileNetV2): on nets this narrow a ReLU there loses information. Signals, which are
    pictures of height 1, take a depthwise kernel of 1x3.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, height: int = 3) -> None:
        super().__init__()
        self.depthwise = _convolution(inputs, inputs, 3, stride, height, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        y = self.norm(self.pointwise(self.depthwise(x)))
        return torch.relu(y + x) if self.residual else torch.relu(y)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, height: int, groups: int = 1) -> nn.Conv2d:
    """A convolution that gives ceil(size / stride) each way; `height` 1 leaves the height alone."""
    kernels, strides = ((1, kernel), (1, stride)) if height == 1 else ((kernel, kernel), (stride, stride))
    padding = ((kernels[0] - 1) // 2, (kernels[1] - 1) // 2)
    return nn.Conv2d(inputs, outputs, kernels, strides, padding, groups=groups, bias=False)


class Classifier(nn.Module):
    """Stem, blocks, global average pooling, one linear layer: [N, C, H, W] or a signal [N, C, L] -> [N, classes]."""

    def __init__(self, stem: nn.Conv2d, blocks: list[nn.Module], width: int, classes: int, signal: bool) -> None:
        super().__init__()
        self.stem = stem
        self.norm = nn.BatchNorm2d(stem.out_channels)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, classes)
        self.signal = signal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, one row for each input."""
        x = x.unsqueeze(2) if self.signal else x
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        return cast(torch.Tensor, self.head(x.mean(dim=(2, 3))))


def resnet_s(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A small residual network, 382,000 parameters and 14 M multiplications for 28x28 inputs."""
    blocks = [(32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)]
    stem = _convolution(input_shape[0], 32, 3, 2, 3)
    return Classifier(stem, [ResidualBlock(*b) for b in blocks], 128, classes, signal=False)


def ds_cnn(
    input_shape: tuple[int, ...],
    classes: int,
    width: int = 24,
    depth: int = 2,
    stem: str = "conv",
    stride: int = 0,
    stem_width: int = 0,
) -> nn.Module:
    """A depthwise-separable student of 1x, 2x and 3x `width` channels, `depth` residual blocks at 2x.

    Args:
        input_shape: [C, H, W], or a signal's [C, L].
        classes: how many logits it gives.
        width: channels of the first block, above 0.
        depth: residual blocks in the middle, 0 or more.
        stem: "conv", overlapping, 3x3 up to a stride of 2, or "patch", squares side by side (Dosovitskiy et al. 2020).
        stride: of the stem; 0 lets the input's smaller side decide: see `stem_stride`.
        stem_width: channels of the stem; 0 for `width`.

    Raises:
        ValueError: a number is out of bounds, or no such stem.
    """
    if width < 1 or depth < 0 or stride < 0 or stem_width < 0 or stem not in STEMS:
        raise ValueError(f"width >= 1, depth, stride and stem_width >= 0, stem one of {', '.join(STEMS)}")
    w, s, signal = width, stride or stem_stride(input_shape), len(input_shape) == 2
    height = 1 if signal else 3
    if s > min(input_shape[1:]):
        raise ValueError(f"a stem stride of {s} is larger than the input {list(input_shape)}")
    first = stem_width or w
    blocks = [(first, w, 1), (w, 2 * w, 2), *[(2 * w, 2 * w, 1)] * depth, (2 * w, 3 * w, 2), (3 * w, 3 * w, 1)]
    layers: list[nn.Module] = [SeparableBlock(*b, height=height) for b in blocks]
    return Classifier(STEMS[stem](input_shape[0], first, s, height), layers, 3 * w, classes, signal)


def stem_stride(input_shape: tuple[int, ...]) -> int:
    """The stem's stride that leaves no more positions than a side should have: 1 up to 24 pixels, 2 up to 48."""
    stride = 1
    while min(input_shape[1:]) / stride > SIDES[len(input_shape)]:
        stride *= 2
    return stride


def _patches(channels: int, width: int, stride: int, height: int) -> nn.Conv2d:
    kernel = (1 if height == 1 else stride, stride)
    return nn.Conv2d(channels, width, kernel, kernel, bias=False)


def _overlapping(channels: int, width: int, stride: int, height: int) -> nn.Conv2d:
    # Odd, and more than the stride: no pixel is passed over.
    return _convolution(channels, width, max(3, stride + 1 + stride % 2), stride, height)


STEMS: dict[str, Callable[[int, int, int, int], nn.Conv2d]] = {"conv": _overlapping, "patch": _patches}
SIDES = {3: 24, 2: 256}
"""How many positions the stem leaves at most of a picture's smaller side, and of a signal, by the input's rank."""
RANKS = {"resnet_s": (3,), "ds_cnn": (3, 2)}
HEAD = "head.bias"
"""Holds one number for each class, whatever was pruned: all of them end in one linear layer."""
SHAPES = {3: "[C, H, W]", 2: "[C, L]"}

REGISTRY: dict[str, Builder] = {"resnet_s": resnet_s, "ds_cnn": ds_cnn}


def build(name: str, args: Args, input_shape: tuple[int, ...], classes: int, seed: int = 0) -> nn.Module:
    """A fresh module of a built-in architecture, initialised from `seed` whatever ran before.

    Args:
        name: a key of the registry.
        args: the architecture's own arguments.
        input_shape: one input without the batch, as [C, H, W] or [C, L].
        classes: how many logits the head has.

    Raises:
        ArchitectureError: no such architecture, or it doesn't take these arguments.
    """
    if name not in REGISTRY:
        raise ArchitectureError(f"no architecture '{name}' is built in: use one of {', '.join(REGISTRY)}")
    ranks = RANKS.get(name, (3,))
    if len(input_shape) not in ranks:
        taken = " or ".join(SHAPES[rank] for rank in ranks)
        raise ArchitectureError(f"'{name}' takes inputs shaped {taken}, not {list(input_shape)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return REGISTRY[name](input_shape, classes, **args)
        except (TypeError, ValueError) as error:
            raise ArchitectureError(f"'{name}' doesn't take these arguments ({error}): correct args") from None


def resize(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give each layer of `module` the channel counts of its weights in `tensors`, then load them.

    Args:
        module: an unpruned network; changed in place.
        tensors: the state of the same network after structured pruning, by parameter name.

    Raises:
        ArchitectureError: the tensors aren't a pruned form of this network.
    """
    try:
        for name, layer in module.named_modules():
            weight = tensors.get(f"{name}.weight")
            if weight is not None:
                _resize_layer(layer, weight.shape)
        module.load_state_dict(dict(tensors), strict=True)
    except (RuntimeError, ValueError, IndexError) as error:  # of shapes that no such layer has
        first = str(error).strip().splitlines()[-1].strip()[:300]
        raise ArchitectureError(f"the weights don't fit the architecture ({first}): correct one of them") from None


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
