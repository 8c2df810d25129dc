"""Packing: of the layouts that unfold to exactly the same weights, the one with the smallest encoding."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgefleet_compression.step import (
    ANY_FILE,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepConfig,
    StepError,
    StepResult,
)
from edgefleet_protocol.encoding import compress

if TYPE_CHECKING:
    import onnx

    from edgefleet_compression.onnx_graphs.packing import Layout

    Measure = Callable[[Layout], int]

MOST_BYTES = 64 * 1024
"""Of a larger file only the order is tried: one layout takes a second or two there, and saves next to nothing."""
LEAST_NUMBERS = 512
"""A smaller tensor can't win back the bytes of a node, or of a block of its own."""


class PackConfig(StepConfig):
    """Try layouts of the stored integers, and keep the one with the smallest encoding.

    With `two_bits` weights of three levels may take two bits, in a type of opset 25: for devices whose onnxruntime
    knows that.
    """

    two_bits: bool = False


STEP = Step(
    name="pack",
    config=PackConfig,
    consumes=ANY_FILE,
    produces="packed",
    technique=None,
    search=Searched(),
)


def run(state: OnnxState, config: PackConfig, context: Context) -> StepResult:
    """Try types and order of tensors, and how floats are written, and keep what takes the fewest bytes encoded.

    What runs stays the same: the layers and constants that a session ends up with are compared bit by bit.

    Raises:
        NothingChanged: no layout is smaller than the one that was given.
        StepError: a session would end up with something else.
    """
    import onnx

    from edgefleet_compression.onnx_graphs.alike import runs_alike
    from edgefleet_compression.onnx_graphs.folding import folded
    from edgefleet_compression.onnx_graphs.graph import saved
    from edgefleet_compression.onnx_graphs.packing import Layout, laid_out

    model = onnx.load(state.path)
    given_bytes = len(compress(state.path.read_bytes()))
    sizes: dict[Layout, int] = {}

    def measured(layout: Layout) -> int:
        if layout not in sizes:
            context.progress(min(0.9, len(sizes) / 40), f"layout {len(sizes) + 1}")
            sizes[layout] = len(compress(laid_out(model, layout).SerializeToString(deterministic=True)))
        return sizes[layout]

    small = state.path.stat().st_size <= MOST_BYTES
    coarse = list(_coarse(small))
    if config.two_bits:
        coarse += [replace(layout, two_bits=True) for layout in coarse]
    best = min(coarse, key=measured)
    if small:
        best = _by_tensor(model.graph, best, measured)
    if measured(best) >= given_bytes:
        raise NothingChanged(
            f"pack: none of {len(sizes)} layouts encodes to fewer than the {given_bytes:,} bytes of this one: "
            "drop the step"
        )
    packed = laid_out(model, best)
    if not runs_alike(folded(model, context.folder / "given.onnx"), folded(packed, context.folder / "folded.onnx")):
        raise StepError("pack: onnxruntime would not run the packed file exactly as this one: drop the step")
    path = saved(packed, context.folder / "packed.onnx")
    log = {"layouts": len(sizes), "order": best.order, "floats": best.floats, "wide": len(best.wide)}
    log |= {"turned": len(best.turned), "two_bits": best.two_bits}
    log |= {"encoding_bytes": measured(best), "encoding_bytes_before": given_bytes}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


def _coarse(small: bool) -> "Iterator[Layout]":
    from edgefleet_compression.onnx_graphs.packing import FLOATS_WAYS, ORDERS, Layout

    for order in ORDERS:
        for floats in FLOATS_WAYS if small else FLOATS_WAYS[:1]:
            yield Layout(order=order, floats=floats)


def _by_tensor(graph: "onnx.GraphProto", best: "Layout", measured: "Measure") -> "Layout":
    """Change one integer tensor after the other, the largest first, where that alone saves bytes."""
    from edgefleet_compression.onnx_graphs.packing import stored_integers

    numbers = {name: math.prod(tensor.dims) for name, tensor in stored_integers(graph).items()}
    for name in sorted(numbers, key=lambda name: -numbers[name]):
        if numbers[name] >= LEAST_NUMBERS:
            changed = (replace(best, wide=best.wide | {name}), replace(best, turned=best.turned | {name}))
            best = min((best, *changed), key=measured)
    return best
