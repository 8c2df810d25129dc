"""16-bit floats: half the bytes on the wire, unfolded to fp32 as the session loads."""

from typing import TYPE_CHECKING

from edgefleet_compression.step import (
    ANY_FILE,
    EXPORT,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepConfig,
    StepError,
    StepResult,
    Tail,
    step,
)

if TYPE_CHECKING:
    import onnx

LEAST_NUMBERS = 16
"""A smaller tensor takes less than the node that would unfold it."""


class Fp16Config(StepConfig):
    """Weights are stored as 16-bit floats, and unfold to fp32 as the session loads."""


STEP = Step(
    name="fp16",
    config=Fp16Config,
    consumes=ANY_FILE,
    produces="quantized",
    technique="quantize",
    search=Searched(tails=(Tail("fp16", "weights stored in half floats", (EXPORT, step("fp16")), rank=0.15),)),
    revision=2,
)


def run(state: OnnxState, config: Fp16Config, context: Context) -> StepResult:
    """Store each fp32 weight in 16 bits, with a `Cast` that onnxruntime folds; it runs in fp32 as before.

    onnxruntime's CPU provider computes in fp32 anyway: 16-bit arithmetic would only add casts.

    Raises:
        NothingChanged: the graph holds no fp32 weight.
        StepError: a weight does not fit in 16 bits.
    """
    import onnx

    from edgefleet_compression.onnx_graphs.graph import graphs
    from edgefleet_compression.onnx_graphs.stripping import strip

    model = onnx.load(state.path)
    halved = sum(_halve(graph) for graph in graphs(model.graph))
    if not halved:
        raise NothingChanged("fp16 found no fp32 weights: put it after export, and before any other quantization")
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    path = context.folder / "half.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return StepResult(OnnxState(path), {"weights": halved, "file_bytes": path.stat().st_size})


def _halve(graph: "onnx.GraphProto") -> int:
    """Store a graph's own weights in 16 bits, without those of graphs within its nodes; how many there are."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from edgefleet_compression.onnx_graphs.graph import put_first

    unfold = []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.size < LEAST_NUMBERS:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(np.isinf(half), np.isinf(values)):
            most = np.abs(values[np.isfinite(values)]).max()
            raise StepError(f"fp16: a weight of {most:.3g} does not fit in 16 bits: use storage_quant")
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(half, f"{weight.name}_h"))
        unfold.append(helper.make_node("Cast", [f"{weight.name}_h"], [weight.name], to=TensorProto.FLOAT))
    put_first(graph, unfold)
    return len(unfold)
