"""Storage quantization: weights travel as small integers and unfold to fp32 as the session loads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgefleet_compression.step import (
    ANY_FILE,
    EXPORT,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepResult,
    StepSpec,
    Tail,
    step,
)
from edgefleet_compression.step_settings import Bitwidths, StoredBits

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from edgefleet_compression.grid import Weights
    from edgefleet_compression.onnx_graphs.weighted_nodes import WeightedNode

    Stored = tuple[NDArray[np.int8], Weights]

SENSITIVITY_SAMPLES = 64


class StorageQuantConfig(Bitwidths, StoredBits):
    """Store weights as small integers, one scale for each output channel, unfolded as the session loads.

    With `lossless`, each layer takes the fewest bits whose grid its weights are on already (after `qat_weights` or
    `tune_norms`); a layer on no grid takes those of its kind. A weight that is read in several ways takes the most
    bits of them.
    """

    lossless: bool = False


def stored_in(bits: int) -> StepSpec:
    """The step with so many bits for large weights; stem and depthwise layers are small and sensitive, tables often."""
    large = dict.fromkeys(("dense", "pointwise", "linear", "recurrent"), bits)
    return step("storage_quant", **large, stem=max(bits, 7), depthwise=max(bits, 6), table=max(bits, 6))


SPARSE = Tail(
    "sparse-w8",
    "half of the weights zero, stored in 8 bits",
    (EXPORT, step("prune_unstructured", sparsity=0.5), stored_in(8)),
    rank=2.1,
)
STEP = Step(
    name="storage_quant",
    config=StorageQuantConfig,
    consumes=ANY_FILE,
    produces="quantized",
    technique="quantize",
    search=Searched(
        tails=(
            *(
                Tail(f"w{bits}", f"weights stored in {bits} bits", (EXPORT, stored_in(bits)), rank=rank)
                for bits, rank in ((8, 0.1), (6, 0.2), (5, 0.3))
            ),
            SPARSE,
        )
    ),
    needs_for={"mean_bits": frozenset({"calib", "val"})},
    revision=5,
)


def run(state: OnnxState, config: StorageQuantConfig, context: Context) -> StepResult:
    """Replace each weight by integers and a scale for each channel, in a form that unfolds at load.

    Biases keep 8 significant bits, as the scales do: their other bytes are zeros, which cost nothing on the wire.

    Raises:
        NothingChanged: the graph has no layer, recurrent network or table with fp32 weights.
        DataError: bits go by sensitivity, but there is no calib split.
    """
    import onnx

    from edgefleet_compression.grid import find_grid, to_grid
    from edgefleet_compression.onnx_graphs.constants import lift_constants
    from edgefleet_compression.onnx_graphs.graph import put_first, saved
    from edgefleet_compression.onnx_graphs.storage import knows_nibbles, stored
    from edgefleet_compression.onnx_graphs.stripping import strip
    from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes

    model = onnx.load(state.path)
    graph = model.graph
    graph.CopyFrom(lift_constants(graph))
    layers = weighted_nodes(graph)
    if not layers:
        raise NothingChanged("storage_quant found no fp32 weights to store: put it after export, and use it only once")
    found = {layer.name: find_grid(layer.values()) for layer in layers} if config.lossless else {}
    on_grid: dict[str, Stored] = {name: grid for name, grid in found.items() if grid is not None}
    bits = _bits(model, [layer for layer in layers if layer.name not in on_grid], config, context)
    _shorten_biases(graph, layers)
    nibbles = knows_nibbles(model)
    for layer in reversed(layers):  # so that they unfold in the order of the layers
        integers, scales = on_grid.get(layer.name) or to_grid(layer.values(), bits[layer.name])
        put_first(layer.home, stored(layer, integers, scales, nibbles=nibbles))
    _order(graph)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    path = saved(model, context.folder / "stored.onnx")
    log = {"layers": dict(Counter(layer.kind for layer in layers)), "on_grid": len(on_grid)}
    return StepResult(OnnxState(path), {**log, "bits": _told(layers, bits), "file_bytes": path.stat().st_size})


def _order(graph: "onnx.GraphProto") -> None:
    """Put like beside like: zstd then codes the integers by their own few levels."""
    from onnx import TensorProto

    ordered = sorted(graph.initializer, key=lambda tensor: tensor.data_type == TensorProto.FLOAT)
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def _bits(
    model: "onnx.ModelProto", layers: "Sequence[WeightedNode]", config: StorageQuantConfig, context: Context
) -> dict[str, int]:
    """Bits by weight: those of its kind, or by what fewer would lose there."""
    from edgefleet_compression.bitwidths import by_kind, by_sensitivity
    from edgefleet_compression.sensitivity import sensitivity

    if config.mean_bits is None or not layers:
        return by_kind({layer.name: layer.kinds for layer in layers}, config)
    asked = context.source.asked("calib", SENSITIVITY_SAMPLES)
    losses = sensitivity(model, layers, asked, context.source.judge, context.folder, context.progress)
    return by_sensitivity(losses, {layer.name: layer.values().size for layer in layers}, config.mean_bits)


def _shorten_biases(graph: "onnx.GraphProto", layers: "Sequence[WeightedNode]") -> None:
    from onnx import TensorProto, numpy_helper

    from edgefleet_compression.grid import short
    from edgefleet_compression.onnx_graphs.graph import graphs

    used = {bias for layer in layers for bias in layer.biases} - {layer.name for layer in layers}
    for tensor in (tensor for one in graphs(graph) for tensor in one.initializer):
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(short(numpy_helper.to_array(tensor)), tensor.name))


def _told(layers: "Sequence[WeightedNode]", bits: Mapping[str, int]) -> list[int | None]:
    """The bits of each layer in the order of the graph; None if its own grid decided."""
    return [bits.get(layer.name) for layer in layers]
