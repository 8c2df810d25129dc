"""A network whose activations are rounded where static int8 rounds them: a traced graph over the same weights."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional

from edgefleet_compression.errors import StepError
from edgefleet_compression.onnx_graphs.ranges import MARK

LEVELS = 255
LEAST_RANGE = 1e-6
SMOOTHING = 0.05
Range = tuple[float, float]
MakeRounder = Callable[[str], nn.Module]

CLIPS: tuple[Any, ...] = (nn.ReLU, nn.ReLU6, torch.relu, functional.relu, functional.relu6, "relu", "clamp")
MOVES: tuple[Any, ...] = (
    nn.Identity, nn.Dropout, nn.Flatten, torch.flatten, torch.reshape, torch.permute, torch.unsqueeze, torch.squeeze,
    operator.getitem, getattr, "flatten", "view", "reshape", "permute", "transpose", "unsqueeze", "squeeze", "size",
)  # fmt: skip
"""What only moves numbers, or asks for a shape: onnxruntime rounds nothing anew there."""


class Watched(nn.Module):
    """An activation in 8 bits; its range follows the batches of training, smoothed, and is then frozen.

    Jacob et al. 2018, whose moving range of minimum and maximum this is.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, activation: Literal["u8", "s8"], batches: int) -> None:
        """Watch for so many batches of training."""
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.least = 0 if activation == "u8" else -128
        self.left = batches
        self.looking = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The rounded activation; while looking, the activation as it is."""
        if self.looking:
            self.low = torch.minimum(self.low, x.detach().amin())
            self.high = torch.maximum(self.high, x.detach().amax())
            return x
        if self.training and self.left > 0:
            self.left -= 1
            self.low = self.low.lerp(x.detach().amin().clamp(max=0), SMOOTHING)
            self.high = self.high.lerp(x.detach().amax().clamp(min=0), SMOOTHING)
        return rounded(x, self.low, self.high, self.least)


class Mark(nn.Module):
    """The range of an activation as a node of the exported graph, for `ranges.take_out` to find."""

    def __init__(self, span: Range) -> None:
        super().__init__()
        self.span = span

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The activation as it is."""
        attributes: dict[str, Any] = {"low": self.span[0], "high": self.span[1]}
        return torch.onnx.ops.symbolic(MARK, (x,), attributes, dtype=x.dtype, shape=x.shape, version=1)


class Shift(nn.Module):
    """A batch norm whose scale and statistics were folded into the convolution before it: only its bias is left."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.bias = norm.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return x + self.bias.view(1, -1, 1, 1)


def rounded(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, least: int) -> torch.Tensor:
    """`x` on the 256 levels from `low` to `high`, of which one is 0; the gradient ends where the range does.

    Args:
        x: float32.
        low: the range's beginning, at most 0.
        high: its end, at least 0.
        least: the first of the integers, 0 or -128.
    """
    scale, zero = _grid(low, high, least)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, least, least + LEVELS)


def _grid(low: torch.Tensor, high: torch.Tensor, least: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point as onnxruntime takes them from a range (`compute_scale_zp`)."""
    scale = (high - low).clamp_min(LEAST_RANGE) / LEVELS
    return scale, torch.round(least - low / scale).to(torch.int32)


def traced(module: nn.Module) -> fx.GraphModule:
    """The graph of a module, over the very same layers; raises StepError where Python decides as it runs."""
    try:
        return fx.symbolic_trace(module)
    except Exception as error:  # tracing runs the module's own code
        reason = " ".join(str(error).split())[:200]
        raise StepError(f"qat_int8: the network's graph cannot be traced ({reason}): use static_int8 alone") from None


def fold(graph: fx.GraphModule) -> dict[str, Shift]:
    """Fold each norm that follows a convolution into it, in place, and let the norm do nothing but add its bias.

    The network answers as before, and its weights are those that the exporter will find: their grid is the file's.

    Returns:
        By name, what can stand for each folded norm in training.
    """
    shifts: dict[str, Shift] = {}
    for node, layer in _layers(graph):
        before = _layer(graph, node.args[0]) if isinstance(layer, nn.BatchNorm2d) else None
        if not isinstance(before, nn.Conv2d) or len(node.args[0].users) > 1:  # type: ignore[union-attr]
            continue
        assert isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
        with torch.no_grad():
            factor = layer.weight / torch.sqrt(layer.running_var + layer.eps)
            before.weight.mul_(factor.view(-1, 1, 1, 1))
            bias = 0 if before.bias is None else before.bias
            layer.bias.copy_(layer.bias + (bias - layer.running_mean) * factor)
            if before.bias is not None:
                before.bias.zero_()
            layer.running_mean.zero_()
            layer.running_var.fill_(1 - layer.eps)
            layer.weight.fill_(1)
        shifts[str(node.target)] = Shift(layer)
    return shifts


def with_points(
    graph: fx.GraphModule, point: MakeRounder, shifts: Mapping[str, nn.Module] | None = None
) -> fx.GraphModule:
    """Round every activation that static int8 rounds; in place.

    Args:
        graph: a traced module.
        point: makes what rounds the activation of a name; names are the graph's, always the same for a module.
        shifts: what stands for norms, by name.
    """
    for name, shift in (shifts or {}).items():
        parent, _, child = name.rpartition(".")
        # The graph's own holder of that layer, not the module's: the module keeps its norm.
        holder = graph.get_submodule(parent)
        setattr(holder, child, shift)
    for node in [n for n in graph.graph.nodes if _is_rounded(graph, n)]:
        name = f"rounded_{node.name}"
        graph.add_submodule(name, point(node.name))
        with graph.graph.inserting_after(node):
            following = graph.graph.call_module(name, (node,))
        node.replace_all_uses_with(following, delete_user_cb=lambda user, own=following: user is not own)
    graph.recompile()
    return graph


def _is_rounded(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op in ("output", "get_attr") or _is(graph, node, MOVES):
        return False
    users = list(node.users)
    if not users:
        return False
    if len(users) == 1 and isinstance(_layer(graph, users[0]), nn.BatchNorm2d | Shift):
        return False
    # What is clipped next is rounded once, after that.
    return not (
        len(users) == 1 and _is(graph, users[0], CLIPS) and not _is(graph, node, CLIPS) and node.op != "placeholder"
    )


def _is(graph: fx.GraphModule, node: fx.Node, which: tuple[Any, ...]) -> bool:
    if (layer := _layer(graph, node)) is not None:
        return isinstance(layer, tuple(kind for kind in which if isinstance(kind, type)))
    return node.target in which


def _layers(graph: fx.GraphModule) -> list[tuple[fx.Node, nn.Module]]:
    return [(node, layer) for node in graph.graph.nodes if (layer := _layer(graph, node)) is not None]


def _layer(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    if isinstance(node, fx.Node) and node.op == "call_module":
        return graph.get_submodule(str(node.target))
    return None
